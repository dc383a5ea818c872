//! The key that messages are signed with, as SNS signs its own ("Verifying the signatures of Amazon SNS messages").
//!
//! It is made once, lies sealed in the store, and outlives restarts: a message that was kept can be verified later. What
//! receivers fetch is a certificate that the key has signed itself; its name is its fingerprint, so another key has
//! another URL.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use icefield_engine::{Engine, EngineError};
use icefield_protocol::sigv4::SecretKey;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize, SigningKey as _};
use tokio::sync::OnceCell;

/// Name of the sealed document.
const SECRET: &str = "notification-signing";
/// Characters of the fingerprint that name the certificate.
const NAME_LEN: usize = 32;
/// Who signs, for people.
const SUBJECT: &str = "icefield notifications";

/// The signer of a store, opened when it is first needed.
#[derive(Debug)]
pub(crate) struct Signing {
    engine: Engine,
    signer: OnceCell<Signer>,
}

impl Signing {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, signer: OnceCell::new() }
    }

    /// Returns the signer, and makes its key if the store has none.
    pub(crate) async fn signer(&self) -> Result<&Signer, SigningError> {
        let open = || async {
            let kept = self.engine.sealed_secret(SECRET, || Ok::<_, SigningError>(made()?)).await?;
            Ok(Signer::open(kept.as_str())?)
        };
        self.signer.get_or_try_init(open).await
    }
}

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SigningError {
    /// The key cannot be read from the store, or kept there.
    #[error("the key that messages are signed with is not to be had")]
    Kept(#[from] EngineError),
    /// The key cannot be used.
    #[error("the key that messages are signed with is of no use")]
    Key(#[from] rcgen::Error),
}

/// Signs messages.
#[derive(Debug)]
pub(crate) struct Signer {
    key: KeyPair,
    /// The certificate, PEM.
    pub(crate) certificate: String,
    /// What the certificate is called.
    pub(crate) name: String,
}

/// Makes a key and its certificate: two blocks of PEM, in this order.
fn made() -> Result<SecretKey, rcgen::Error> {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, SUBJECT);
    let certificate = params.self_signed(&key)?;
    Ok(SecretKey::new(key.serialize_pem() + &certificate.pem()))
}

impl Signer {
    fn open(kept: &str) -> Result<Self, rcgen::Error> {
        let begin = kept
            .find("-----BEGIN CERTIFICATE-----")
            .ok_or(rcgen::Error::CouldNotParseCertificate)?;
        let (key, certificate) = kept.split_at(begin);
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(key, &PKCS_RSA_SHA256)?;
        let fingerprint = digest(&SHA256, certificate.as_bytes());
        let name: String = fingerprint.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let (certificate, name) = (certificate.to_owned(), name[..NAME_LEN].to_owned());
        Ok(Self { key, certificate, name })
    }

    /// Signs a text: RSA with SHA-256 (PKCS #1 v1.5), base64.
    pub(crate) fn sign(&self, text: &str) -> Result<String, rcgen::Error> {
        Ok(STANDARD.encode(self.key.sign(text.as_bytes())?))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use rcgen::PublicKeyData as _;
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};

    use super::*;

    /// A signer of its own.
    pub(crate) fn signer() -> Signer {
        Signer::open(made().unwrap().as_str()).unwrap()
    }

    impl Signer {
        /// Whether the signature is this key's, and the certificate too.
        pub(crate) fn verifies(&self, text: &str, signature: &str) -> bool {
            let public = self.key.der_bytes();
            let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
            assert!(certificate.windows(public.len()).any(|window| window == public));
            let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
            key.verify(text.as_bytes(), &STANDARD.decode(signature).unwrap()).is_ok()
        }
    }

    #[test]
    fn a_signature_is_verified_with_the_certificate() {
        let signer = signer();
        let signature = signer.sign("Message\nhello\n").unwrap();
        assert!(signer.verifies("Message\nhello\n", &signature));
        assert!(!signer.verifies("Message\nhullo\n", &signature));
    }

    #[test]
    fn the_same_secret_is_the_same_signer() {
        let kept = made().unwrap();
        let (first, second) =
            (Signer::open(kept.as_str()).unwrap(), Signer::open(kept.as_str()).unwrap());
        assert_eq!((&first.certificate, &first.name), (&second.certificate, &second.name));
        assert_eq!(first.sign("x").unwrap(), second.sign("x").unwrap());
        assert_ne!(signer().name, first.name, "another key has another name");
    }
}
