//! TLS with a private authority.

use std::sync::Arc;

use host_harness::{Delivery, ErrorKind};
use rcgen::{CertificateParams, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::fixtures::{TOKEN, config, folder, get, harness};
use crate::server::{Reply, Server};

/// What a server for these names needs, and its certificate as PEM.
pub(crate) fn acceptor(names: &[&str]) -> (TlsAcceptor, String) {
    certified(names, |_| ())
}

fn certified(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (TlsAcceptor, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = CertificateParams::new(names).unwrap();
    change(&mut parameters);
    let key = KeyPair::generate().unwrap();
    let cert = parameters.self_signed(&key).unwrap();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), cert.pem())
}

/// A server for `localhost`, and its certificate as PEM.
async fn server() -> (Server, String) {
    let (acceptor, pem) = acceptor(&["localhost"]);
    (Server::with_tls(Some(acceptor), |_| Reply::json("{}")).await, pem)
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_it_is_named() {
    let (server, pem) = server().await;
    let file = folder().join("ca.pem");
    std::fs::write(&file, pem).unwrap();
    let mut config = config(&server.url);
    config.ca_file = Some(file);
    let connection = harness().connect(config).await.unwrap();
    assert_eq!(get(&connection, "/api/one/1").await.unwrap()["status"], 200);
    let request = &server.requests()[0];
    assert_eq!(request.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
}

/// B3: a certificate that says nothing about this server is refused before anything is sent, with its reason, and looking
/// again would not help.
#[tokio::test]
async fn a_certificate_that_proves_nothing_is_refused() {
    let past = |parameters: &mut CertificateParams| {
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
    };
    for (made, trusted, why) in [
        (certified(&["localhost"], |_| ()), false, "UnknownIssuer"),
        (certified(&["elsewhere.test"], |_| ()), true, "localhost"),
        (certified(&["localhost"], past), true, "expired"),
    ] {
        let (acceptor, pem) = made;
        let server = Server::with_tls(Some(acceptor), |_| Reply::json("{}")).await;
        let mut config = config(&server.url);
        let file = folder().join("ca.pem");
        std::fs::write(&file, pem).unwrap();
        config.ca_file = trusted.then_some(file);
        let connection = harness().connect(config).await.unwrap();
        let error = get(&connection, "/api/safe/1").await.unwrap_err();
        assert_eq!((error.kind, error.delivery), (ErrorKind::Unavailable, Delivery::NotSent));
        assert!(error.message.contains("its TLS certificate is not trusted"), "{error}");
        assert!(error.message.contains(why), "{error}");
        assert!(!error.retryable, "{error:?}");
        assert_eq!((server.connections(), server.requests().len()), (1, 0), "{why}");
    }
}

#[tokio::test]
async fn a_faulty_ca_file_is_refused() {
    let file = folder().join("ca.pem");
    std::fs::write(&file, "no certificate").unwrap();
    let mut config = config("https://localhost");
    config.ca_file = Some(file);
    let error = harness().connect(config).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidConnection);
    assert!(error.message.contains("no certificate (PEM)"), "{error}");
}
