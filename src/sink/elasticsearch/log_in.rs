//! Credentials beside a client certificate: the HTTP client knows one kind at a time, so the others become a header.

use base64::Engine as _;
use secrecy::ExposeSecret;

use crate::config::pem;
use crate::config::plan::{Auth, ClientFiles};

/// Certificate and key in one text. Both are looked at, because the HTTP client's words about them are few.
///
/// # Errors
/// Which file cannot be used, and why.
pub fn certificate(files: &ClientFiles) -> Result<Vec<u8>, String> {
    pem::certificates(&files.cert_file)?;
    pem::private_key(&files.key_file)?;
    let mut both = std::fs::read(&files.cert_file).map_err(|error| error.to_string())?;
    both.push(b'\n');
    both.extend(std::fs::read(&files.key_file).map_err(|error| error.to_string())?);
    Ok(both)
}

/// What `Authorization` says; `None` without credentials.
#[must_use]
pub fn header(auth: &Auth) -> Option<String> {
    match auth {
        Auth::None => None,
        Auth::Basic { username, password } => {
            let pair = format!("{username}:{}", password.expose_secret());
            Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
        }
        Auth::ApiKey(key) => Some(format!("ApiKey {}", key.expose_secret())),
        Auth::Bearer(token) => Some(format!("Bearer {}", token.expose_secret())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let basic = Auth::Basic { username: "Aladdin".into(), password: "open sesame".into() };
        for (auth, expected) in [
            (Auth::None, None),
            (basic, Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")),
            (Auth::ApiKey("a2V5".into()), Some("ApiKey a2V5")),
            (Auth::Bearer("t".into()), Some("Bearer t")),
        ] {
            assert_eq!(header(&auth).as_deref(), expected);
        }
    }
}
