//! Whether a node sends its clients elsewhere. The client that carries the requests follows redirects unasked, and what
//! it says of one that ends nowhere names the node it began at; the one here follows none.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};

use super::redact::redact;

/// What the requests to a node are made with, for the questions here to be answered alike.
pub(super) struct RedirectSetup<'a> {
    /// Whether the node's certificate is looked at.
    pub verify: bool,
    /// Authorities besides those of the system.
    pub authorities: Vec<reqwest::Certificate>,
    /// Certificate and key of our own, PEM.
    pub own_certificate: Option<&'a [u8]>,
    /// Credentials: a login page is where others are sent.
    pub log_in: Option<HeaderValue>,
    /// Whether the proxy of the environment is left aside.
    pub direct: bool,
}

/// See the module.
pub(super) struct RedirectQuestion {
    client: reqwest::Client,
}

impl RedirectQuestion {
    /// # Errors
    /// The HTTP client's, when it cannot be made of this.
    pub fn new(setup: RedirectSetup<'_>) -> Result<Self, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .danger_accept_invalid_certs(!setup.verify)
            .pool_max_idle_per_host(0);
        for authority in setup.authorities {
            builder = builder.add_root_certificate(authority);
        }
        if let Some(pem) = setup.own_certificate {
            builder = builder.identity(reqwest::Identity::from_pem(pem)?);
        }
        if let Some(log_in) = setup.log_in {
            builder = builder.default_headers(HeaderMap::from_iter([(AUTHORIZATION, log_in)]));
        }
        if setup.direct {
            builder = builder.no_proxy();
        }
        Ok(Self { client: builder.build()? })
    }

    /// Where `asked` sends its clients. `None`: nowhere, or it does not answer.
    pub async fn ask(&self, asked: Url, within: Duration) -> Option<String> {
        let response = self.client.get(asked.clone()).timeout(within).send().await.ok()?;
        let location = response.headers().get(LOCATION)?.to_str().ok()?;
        response.status().is_redirection().then(|| place(&asked, location))
    }
}

/// The place a `Location` names, which may be relative to what was asked for.
fn place(asked: &Url, location: &str) -> String {
    asked.join(location).map_or_else(|_| redact(location), name_of)
}

/// A place without secrets, query and fragment.
pub(super) fn name_of(mut place: Url) -> String {
    place.set_query(None);
    place.set_fragment(None);
    redact(place.as_str())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::client::Cluster;
    use super::super::connect_fault::Unidentified;
    use super::super::fixtures;
    use super::super::verdict::RequestReply;
    use super::*;

    /// A server that answers every request with a status and a `Location`; its address.
    async fn redirects_to(status: u16, location: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("127.0.0.1:{}", listener.local_addr().expect("bound").port());
        let location = location.replace("SELF", &address);
        let answer: Arc<str> = format!(
            "HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .into();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    let _ = socket.read(&mut [0; 4096]).await;
                    let _ = socket.write_all(answer.as_bytes()).await;
                });
            }
        });
        address
    }

    /// Whatever status it is sent with, and wherever it ends: what is named is the node and the place it sends to.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_that_redirects_is_named_with_the_place() {
        let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
        for status in [301, 302, 303, 307, 308] {
            for location in [format!("http://{gone}/"), "http://SELF/again".to_owned(), format!("https://{gone}/_bulk")]
            {
                let address = redirects_to(status, &location).await;
                let mut plan = fixtures::sink_plan("items").connection;
                plan.nodes = vec![format!("http://{address}")];
                let cluster = Cluster::new(&plan).expect("a client");
                let place = location.replace("SELF", &address);
                let Err(Unidentified::Unclear(said)) = cluster.identify().await else { panic!("{status} {location}") };
                assert!(said.contains(&address) && said.contains(&format!("redirects to {place}")), "{said}");
                let (_, reply) = cluster.bulk("_bulk", bytes::Bytes::from_static(b"{}\n"), false, None).await;
                let RequestReply::Moved(said) = reply else { panic!("{status} {location}: {reply:?}") };
                assert!(said.contains(&format!("redirects to {place}")), "{said}");
            }
        }
    }

    #[test]
    fn a_place_is_named_whole_and_without_secrets() {
        let asked = Url::parse("http://a:9200/items/_bulk?filter_path=x").unwrap();
        for (location, want) in [
            ("https://b/items/_bulk?token=hush", "https://b/items/_bulk"),
            ("/login?next=%2F#top", "http://a:9200/login"),
            ("//c:1/", "http://c:1/"),
        ] {
            assert_eq!(place(&asked, location), want);
        }
        assert!(!place(&asked, "https://user:hush@b/").contains("hush"));
    }
}
