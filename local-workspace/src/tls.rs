//! The test CA of a workspace that serves HTTPS, and the certificate it signs.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::Error;

/// The CA's certificate, as PEM text and in a file that is removed with it.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) pem: String,
    pub(crate) file: PathBuf,
}

impl Drop for Authority {
    fn drop(&mut self) {
        // Somebody else may have tidied up.
        let _ = std::fs::remove_file(&self.file);
    }
}

/// An acceptor for `localhost` and `127.0.0.1`, and the CA to trust.
pub(crate) fn acceptor() -> Result<(TlsAcceptor, Authority), Error> {
    let (issuer, pem) = authority()?;
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let key = KeyPair::generate().map_err(|e| Error::new("making a key", e))?;
    let certificate = CertificateParams::new(names)
        .and_then(|params| params.signed_by(&key, &issuer))
        .map_err(|e| Error::new("making a certificate", e))?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder.with_no_client_auth().with_single_cert(vec![certificate.into()], private)
        })
        .map_err(|e| Error::new("setting up TLS", e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = format!("local-workspace-{}.pem", uuid::Uuid::new_v4());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, &pem).map_err(|e| Error::new("writing the CA's certificate", e))?;
    Ok((TlsAcceptor::from(Arc::new(config)), Authority { pem, file }))
}

fn authority() -> Result<(Issuer<'static, KeyPair>, String), Error> {
    let failed = |e| Error::new("making a test CA", e);
    let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "Local workspace test CA");
    let key = KeyPair::generate().map_err(failed)?;
    let pem = params.self_signed(&key).map_err(failed)?.pem();
    Ok((Issuer::new(params, key), pem))
}
