//! Content, layers, views, images and cache records on disk.
