//! The client of one node: address, certificates, credentials.

use elasticsearch::auth::{ClientCertificate, Credentials};
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::Url;
use elasticsearch::http::headers::HeaderValue;
use elasticsearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use secrecy::{ExposeSecret, SecretString};

use crate::config::plan::{Auth, ElasticsearchConnection};

use super::connect_fault::ConnectFault;
use super::log_in;
use super::redact::redact;
use super::redirect::{RedirectQuestion, RedirectSetup};

/// What requests to one node are sent with.
pub(super) struct NodeClient {
    /// The client that carries requests.
    pub transport: Transport,
    /// The node's address, with a slash at its end.
    pub base: Url,
    /// Credentials beside a client certificate.
    pub log_in: Option<HeaderValue>,
    /// Asked where a request came to nothing.
    pub redirects: RedirectQuestion,
}

/// Sets up the client of one node; connects to nothing yet.
///
/// # Errors
/// [`ConnectFault`] when the configuration cannot work.
pub(super) fn node_client(plan: &ElasticsearchConnection, address: &str) -> Result<NodeClient, ConnectFault> {
    let connection = || plan.name.to_string();
    let fault = |cause: String| ConnectFault::Address { connection: connection(), node: redact(address), cause };
    let mut base = Url::parse(address).map_err(|error| fault(error.to_string()))?;
    if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
        return Err(fault("it must start with http:// or https:// and name a host".to_owned()));
    }
    if !base.path().ends_with('/') {
        let path = format!("{}/", base.path());
        base.set_path(&path);
    }
    let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(base.clone()))
        .enable_meta_header(false)
        .cert_validation(validation(plan)?);
    let credentials = credentials(&plan.auth).map_err(|()| ConnectFault::Secret(connection()))?;
    let header = log_in::header(&plan.auth).map(|text| HeaderValue::from_str(&text)).transpose();
    let mut header = header.map_err(|_| ConnectFault::Secret(connection()))?;
    header.iter_mut().for_each(|header| header.set_sensitive(true));
    let mut setup = RedirectSetup {
        verify: plan.verify,
        authorities: authorities(plan)?.into_iter().flatten().collect(),
        own_certificate: None,
        log_in: header.clone(),
        direct: is_loopback(&base),
    };
    let own_certificate;
    // The client knows one kind of credentials at a time, and a certificate is one of them: then the others are a
    // header.
    let mut log_in = None;
    if let Some(files) = &plan.client {
        let cause = |cause| ConnectFault::Certificate { connection: connection(), cause };
        own_certificate = log_in::certificate(files).map_err(cause)?;
        setup.own_certificate = Some(&own_certificate);
        builder = builder.auth(Credentials::Certificate(ClientCertificate::Pem(own_certificate.clone())));
        log_in = header;
    } else if let Some(credentials) = credentials {
        builder = builder.auth(credentials);
    }
    if setup.direct {
        // A proxy of the environment cannot reach this host's loopback.
        builder = builder.disable_proxy();
    }
    let fault = |cause: &dyn std::fmt::Display| ConnectFault::Client {
        connection: connection(),
        cause: redact(&cause.to_string()),
    };
    let transport = builder.build().map_err(|error| fault(&error))?;
    let redirects = RedirectQuestion::new(setup).map_err(|error| fault(&error))?;
    Ok(NodeClient { transport, base, log_in, redirects })
}

fn is_loopback(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn validation(plan: &ElasticsearchConnection) -> Result<CertificateValidation, ConnectFault> {
    if !plan.verify {
        return Ok(CertificateValidation::None);
    }
    Ok(authorities(plan)?.map_or(CertificateValidation::Default, CertificateValidation::Full))
}

fn authorities(plan: &ElasticsearchConnection) -> Result<Option<Certificate>, ConnectFault> {
    let Some(path) = plan.ca_file.as_ref().filter(|_| plan.verify) else { return Ok(None) };
    let fault = |cause: String| ConnectFault::Authorities {
        connection: plan.name.to_string(),
        path: path.display().to_string(),
        cause,
    };
    let pem = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
    let chain = Certificate::from_pem(&pem).map_err(|error| fault(error.to_string()))?;
    Ok(Some(chain))
}

fn credentials(auth: &Auth) -> Result<Option<Credentials>, ()> {
    let text = |secret: &SecretString| {
        let text = secret.expose_secret();
        if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) { Ok(text.to_owned()) } else { Err(()) }
    };
    Ok(match auth {
        Auth::None => None,
        Auth::Basic { username, password } => {
            Some(Credentials::Basic(username.clone(), password.expose_secret().to_owned()))
        }
        Auth::ApiKey(key) => Some(Credentials::EncodedApiKey(text(key)?)),
        Auth::Bearer(token) => Some(Credentials::Bearer(text(token)?)),
    })
}
