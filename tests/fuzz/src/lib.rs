//! What the fuzz targets share: a slow JSON reader as oracle, and a pipeline's steps run over one record.

pub mod oracle;
pub mod program;
