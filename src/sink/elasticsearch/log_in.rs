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
    use super::super::client::Cluster;
    use super::super::connect_fault::Unidentified;
    use super::super::fixtures;
    use super::*;
    use crate::enrich::tests::tls;

    /// What a search server says to any request, at its blank line.
    fn search(line: &str) -> &'static [u8] {
        match line {
            "" => b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 31\r\n\r\n{\"version\":{\"number\":\"8.19.0\"}}",
            _ => b"",
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_authority_and_a_certificate_of_our_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        if tls::certificates(folder).is_none() {
            eprintln!("SKIPPED: no openssl in the PATH");
            return;
        }
        let port = tls::serve(folder, true, search);
        let mut plan = fixtures::sink_plan("items").connection;
        plan.nodes = vec![format!("https://localhost:{port}")];
        plan.ca_file = Some(folder.join("ca.pem"));
        plan.auth = Auth::Bearer("t".into());
        let unnamed = Cluster::new(&plan).expect("a plan").identify().await;
        assert!(matches!(unnamed, Err(Unidentified::Unreachable(_))), "{unnamed:?}");
        let files = ClientFiles { cert_file: folder.join("client.pem"), key_file: folder.join("client.key") };
        plan.client = Some(Box::new(files.clone()));
        let named = Cluster::new(&plan).expect("a plan").identify().await;
        assert!(named.is_ok(), "{named:?}");
        plan.ca_file = None;
        let stranger = Cluster::new(&plan).expect("a plan").identify().await;
        let told = |found: &Result<_, Unidentified>| format!("{:?}", found.as_ref().map(drop));
        assert!(told(&stranger).contains("ca_file"), "{}", told(&stranger));
        plan.client = Some(Box::new(ClientFiles { key_file: folder.join("none"), ..files }));
        let why = Cluster::new(&plan).err().map(|why| why.to_string()).unwrap_or_default();
        assert!(why.contains("client certificate") && why.contains("no such file"), "{why}");
    }

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
