//! Dockerfile AST to graph to steps to image.
