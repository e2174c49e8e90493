//! Whose certificates are trusted, and which name they have to have.

use ureq::config::{Config, ConfigBuilder};
use ureq::http::header::HOST;
use ureq::http::uri::Authority;
use ureq::http::{HeaderValue, Request, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};
use ureq::typestate::AgentScope;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Agent, Error};

use super::passage::{Passage, Watched};

/// How the other side shows that it is who it should be. Of plain HTTP nothing of it counts.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Certificates of authorities, or of servers that have signed their own; `None`: what this machine trusts.
    roots: Option<RootCerts>,
    /// The name that the certificate has to have, where that is not the one that is connected to.
    name: Option<String>,
    /// Straight to the server, whatever proxy the environment names.
    direct: bool,
}

impl Trust {
    /// Only what is signed by one of these certificates, or is one of them.
    ///
    /// # Errors
    /// It is no text with certificates in PEM.
    pub fn only(mut self, pem: &[u8]) -> Result<Self, String> {
        let mut all: Vec<Certificate<'static>> = Vec::new();
        for item in parse_pem(pem) {
            match item {
                Ok(PemItem::Certificate(certificate)) => all.push(certificate),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        if all.is_empty() {
            return Err("it has no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned());
        }
        self.roots = Some(RootCerts::from(all));
        Ok(self)
    }

    /// The certificate has this name instead of the one that is connected to.
    #[must_use]
    pub fn named(mut self, name: String) -> Self {
        self.name = Some(name);
        self
    }

    /// No proxy of the environment is asked.
    #[must_use]
    pub fn direct(mut self) -> Self {
        self.direct = true;
        self
    }

    pub(super) fn roots(&self) -> RootCerts {
        self.roots.clone().unwrap_or(RootCerts::PlatformVerifier)
    }

    /// The agent that sends a request, and the request as that agent needs it.
    pub(super) fn agent(
        &self,
        config: ConfigBuilder<AgentScope>,
        mut request: Request<Vec<u8>>,
        passage: &Passage,
    ) -> Result<(Agent, Request<Vec<u8>>), Error> {
        let config = if self.direct { config.proxy(None) } else { config }.build();
        let Some(name) = self.name.as_deref().filter(|_| request.uri().scheme_str() == Some("https")) else {
            let connector = Watched::new(request.uri().clone(), passage.clone());
            return Ok((Agent::with_parts(config, connector, DefaultResolver::default()), request));
        };
        // What is verified is the name in the URI: there stands the certificate's, and the address comes from the real one.
        let real = request.uri().clone();
        let authority = real.authority().map(Authority::as_str).unwrap_or_default();
        let host = HeaderValue::from_str(authority).map_err(|_| Error::BadUri(real.to_string()))?;
        let port = real.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        let mut parts = real.clone().into_parts();
        let wrong = |_| Error::BadUri(format!("{name} is no name of a host"));
        parts.authority = Some(format!("{name}{port}").parse::<Authority>().map_err(wrong)?);
        *request.uri_mut() = Uri::from_parts(parts).map_err(|error| Error::Http(error.into()))?;
        request.headers_mut().entry(HOST).or_insert(host);
        let agent = Agent::with_parts(
            config,
            Watched::new(request.uri().clone(), passage.clone()),
            Really { uri: real, resolver: DefaultResolver::default() },
        );
        Ok((agent, request))
    }
}

/// Leads to one place, whatever is asked for.
#[derive(Debug)]
struct Really {
    uri: Uri,
    resolver: DefaultResolver,
}

impl Resolver for Really {
    fn resolve(&self, _: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        self.resolver.resolve(&self.uri, config, timeout)
    }
}
