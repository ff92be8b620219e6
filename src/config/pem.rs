//! PEM files of connections: one reader for `check` and for those who connect.

use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The certificates in a file.
///
/// # Errors
/// It cannot be read, is no PEM, or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(format!("file `{}` holds no certificate (`-----BEGIN CERTIFICATE-----`)", path.display())),
        Err(_) => Err(format!("file `{}` is not a PEM file", path.display())),
    }
}

/// The private key in a file.
///
/// # Errors
/// It cannot be read, is no PEM, or holds none that is not encrypted.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(path)?;
    if text.windows(b"ENCRYPTED".len()).any(|part| part == b"ENCRYPTED") {
        return Err(format!(
            "the private key in file `{}` is encrypted; write it without a passphrase",
            path.display()
        ));
    }
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| format!("file `{}` holds no private key (`-----BEGIN PRIVATE KEY-----`)", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path)
        .map_err(|error| format!("file `{}` cannot be read: {}", path.display(), crate::leaf::finding::why(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pem_file_is_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let (none, text) = (folder.path().join("none"), file("text", "hello"));
        let spoiled = file("spoiled", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
        let locked =
            file("locked", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
        let fine = file("fine", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        for (path, part) in [(&none, "no such file"), (&text, "holds no certificate"), (&spoiled, "not a PEM file")] {
            let why = certificates(path).expect_err("refused");
            assert!(why.contains(part), "{why}");
        }
        for (path, part) in [(&none, "no such file"), (&fine, "holds no private key"), (&locked, "encrypted")] {
            let why = private_key(path).expect_err("refused");
            assert!(why.contains(part), "{why}");
        }
        assert_eq!(certificates(&fine).map(|all| all.len()), Ok(1));
    }
}
