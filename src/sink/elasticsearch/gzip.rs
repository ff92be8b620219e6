//! Compressing request bodies.

use bytes::Bytes;

/// gzip at level 1, off the async threads; `None` when it fails, then the body goes as it is.
pub(super) async fn compress(body: Bytes) -> Option<Bytes> {
    let done = tokio::task::spawn_blocking(move || {
        use std::io::Write;
        let mut encoder =
            flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
        encoder.write_all(&body).ok()?;
        encoder.finish().ok().map(Bytes::from)
    });
    done.await.ok().flatten()
}
