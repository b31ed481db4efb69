//! TLS with a private authority.

use std::sync::Arc;

use host_harness::ErrorKind;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::fixtures::{TOKEN, config, folder, get, harness};
use crate::server::{Reply, Server};

/// A server for `localhost`, and its certificate as PEM.
async fn server() -> (Server, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    (Server::with_tls(Some(acceptor), |_| Reply::json("{}")).await, made.cert.pem())
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

#[tokio::test]
async fn an_unknown_authority_is_refused_before_anything_is_sent() {
    let (server, _) = server().await;
    let connection = harness().connect(config(&server.url)).await.unwrap();
    let error = get(&connection, "/api/one/1").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(error.error_code.as_deref(), Some("ErrorCode::TlsCertificateError"));
    assert!(error.message.contains("name its certificate in ca_file"), "{error}");
    assert_eq!(server.requests().len(), 0);
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
