//! The Dockerfile language: text to a spanned AST with diagnostics.
