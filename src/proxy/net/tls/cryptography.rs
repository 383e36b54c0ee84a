//! The cryptography of TLS: that of rustls, with the ciphers in the order in which browsers offer them.
//!
//! Most servers take the first one that they know, so the order decides how much of the processor an encrypted octet costs.

use std::cmp::Reverse;
use std::sync::{Mutex, PoisonError};

use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;

/// Held while a thread seeds the generator of random numbers.
static SEEDING: Mutex<()> = Mutex::new(());

/// Seeds the generator of random numbers, of the process and of this thread; the first time in some 40 ms.
pub(super) fn seed() {
    let _seeding = SEEDING.lock().unwrap_or_else(PoisonError::into_inner);
    // The octet is not needed; asking for it seeds the generator.
    let _ = provider().secure_random.fill(&mut [0; 1]);
}

/// Waits until no thread seeds the generator, and lets none begin: for the end of the process. The library takes the generator
/// down at exit, and a thread that seeds it at that moment would abort the process.
pub(super) fn end_seeding() {
    std::mem::forget(SEEDING.lock().unwrap_or_else(PoisonError::into_inner));
}

/// What all connections to providers use.
pub(super) fn provider() -> CryptoProvider {
    provider_for(has_aes())
}

fn provider_for(has_aes: bool) -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // Stable: for one preference, TLS 1.3 stays before TLS 1.2, and ECDSA before RSA.
    provider.cipher_suites.sort_by_key(|suite| Reverse(preference(suite.suite(), has_aes)));
    provider
}

/// How early a cipher is offered; the highest comes first. AES-128 comes before AES-256, as in Chrome and Firefox: an attack on
/// neither is in sight, and it takes less time, as does its hash, SHA-256, for which processors have instructions. One
/// without instructions for AES, such as that of a Raspberry Pi 4, is quickest with ChaCha20.
fn preference(suite: CipherSuite, has_aes: bool) -> u8 {
    use CipherSuite as Suite;

    match suite {
        Suite::TLS13_CHACHA20_POLY1305_SHA256
        | Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        | Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => u8::from(!has_aes) * 3,
        Suite::TLS13_AES_128_GCM_SHA256
        | Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 2,
        _ => 1,
    }
}

/// Whether the processor has instructions for AES.
fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(has_aes: bool) -> Vec<String> {
        provider_for(has_aes).cipher_suites.iter().map(|suite| format!("{:?}", suite.suite())).collect()
    }

    #[test]
    fn the_quickest_cipher_is_offered_first_and_none_is_missing() {
        let with_aes = names(true);
        assert_eq!(with_aes[0], "TLS13_AES_128_GCM_SHA256");
        assert!(with_aes[8].contains("CHACHA20"), "{with_aes:?}");
        let without = names(false);
        assert_eq!(without[0], "TLS13_CHACHA20_POLY1305_SHA256");
        assert_eq!(without[3], "TLS13_AES_128_GCM_SHA256");
        assert_eq!((with_aes.len(), without.len()), (9, 9));
    }
}
