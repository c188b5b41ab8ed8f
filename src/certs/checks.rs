//! How much time a peer can make us spend on checking signatures with one chain.
//!
//! Each check is charged in advance, by the type and length of the key. A check beyond the limit is not made,
//! and the signature counts as wrong. The library begins at an authority, so a stranger who has nothing that
//! an authority signed causes one wrong signature per path that is tried.

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};
use rustls::{CertificateError, Error, OtherError};

/// A provider that counts checks of certificates' signatures. Those of handshakes are not counted: there is
/// only one.
pub(super) fn metered(provider: &CryptoProvider) -> CryptoProvider {
    let mut provider = provider.clone();
    provider.signature_verification_algorithms.all = &METERED;
    provider
}

/// The same algorithms by themselves. Their checks count as well.
pub(super) fn algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    &METERED
}

/// Lets `verify` look for a path through `chain`, and check signatures within the limit.
pub(super) fn limited<'c, T>(
    chain: &[CertificateDer<'c>],
    verify: impl FnOnce(&[CertificateDer<'c>]) -> Result<T, Error>,
) -> Result<T, Error> {
    SPENT.set(Spent {
        #[cfg(test)]
        certificates: chain.len(),
        ..Spent::default()
    });
    verify(chain).map_err(|error| match SPENT.get().refused {
        0 => error,
        _ => Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(TooDear)))),
    })
}

/// The cost of a chain. A chain is checked by one thread from beginning to end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    /// Certificates between the leaf and an authority.
    #[cfg(test)]
    pub(super) certificates: usize,
    micros: usize,
    /// Signatures that were checked, and of these the wrong ones.
    pub(super) checked: usize,
    wrong: usize,
    /// Signatures that were not checked because of their cost.
    pub(super) refused: usize,
}

thread_local! {
    static SPENT: Cell<Spent> = Cell::default();
}

/// The cost of the last chain on this thread.
#[cfg(test)]
pub(super) fn spent() -> Spent {
    SPENT.get()
}

/// A chain whose signatures would take too long.
#[derive(Debug)]
struct TooDear;

impl fmt::Display for TooDear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its chain takes too long to check")
    }
}

impl std::error::Error for TooDear {}

#[derive(Debug)]
struct Metered(&'static dyn SignatureVerificationAlgorithm);

impl SignatureVerificationAlgorithm for Metered {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let mut spent = SPENT.get();
        let micros = key_micros(self.0.public_key_alg_id(), public_key) + message.len() / HASHED_IN_A_MICRO;
        let limit = if spent.wrong == 0 { MICROS_MAX } else { MICROS_MAX_ONCE_WRONG };
        if spent.micros + micros > limit {
            spent.refused += 1;
            SPENT.set(spent);
            return Err(InvalidSignature);
        }
        let result = self.0.verify_signature(public_key, message, signature);
        spent.micros += micros;
        spent.checked += 1;
        spent.wrong += usize::from(result.is_err());
        SPENT.set(spent);
        result
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.signature_alg_id()
    }
}

/// How long a check with this key takes, in microseconds, measured on an x86-64 server (`cargo bench --bench
/// protocol -- chains`). Only the proportions matter.
fn key_micros(kind: AlgorithmIdentifier, key: &[u8]) -> usize {
    match kind {
        alg_id::ECDSA_P256 => 50,
        alg_id::ECDSA_P384 => 180,
        alg_id::ED25519 => 40,
        // 18 for 2048 bits, 62 for 4096, 235 for 8192, which is the most that the library accepts. The
        // modulus is nearly all of the key.
        alg_id::RSA_ENCRYPTION => key.len().min(2 * RSA_BYTES_MAX).pow(2) / 4400,
        // P-521, and whatever is to come.
        _ => 300,
    }
}

static INNER: LazyLock<Vec<Metered>> = LazyLock::new(|| {
    let known = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    known.iter().map(|algorithm| Metered(*algorithm)).collect()
});

static METERED: LazyLock<Vec<&'static dyn SignatureVerificationAlgorithm>> =
    LazyLock::new(|| INNER.iter().map(|algorithm| algorithm as _).collect());

/// The limit for a chain whose signatures are right. It is enough for three certificates below a P-521 key,
/// five below P-384, and as many as are considered below all faster ones, RSA of 4096 bits included.
const MICROS_MAX: usize = 900;

/// The limit once a signature was wrong, which may belong to another path.
const MICROS_MAX_ONCE_WRONG: usize = 600;

/// Bytes of a certificate that are hashed in a microsecond, at least.
const HASHED_IN_A_MICRO: usize = 512;

/// A key of 8192 bits.
const RSA_BYTES_MAX: usize = 1024;
