//! Replays the seeds of the fuzz targets, and small damage to each, on any toolchain.

// The functions are public there for the fuzz targets.
#[allow(unreachable_pub)]
#[path = "../fuzz/src/lib.rs"]
mod properties;

use std::fs;
use std::path::Path;

#[test]
fn every_seed_of_the_decoder_holds() {
    replay("decode", properties::decode, DAMAGE_MAX);
}

#[test]
fn every_seed_of_the_request_head_holds() {
    replay("request_head", properties::request_head, DAMAGE_MAX);
}

#[test]
fn every_seed_of_the_first_byte_holds() {
    replay("sniff", properties::sniff, DAMAGE_MAX);
}

#[test]
fn every_seed_of_programs_holds() {
    replay("programs", properties::programs, DAMAGE_MAX);
}

#[test]
fn every_seed_of_the_plain_requests_holds() {
    replay("files", properties::files, DAMAGE_MAX);
}

#[test]
fn every_seed_of_the_states_holds() {
    replay("states", properties::states, STATES_DAMAGE_MAX);
}

#[test]
fn every_seed_of_tls_holds() {
    replay("tls", properties::tls, HANDSHAKE_DAMAGE_MAX);
}

#[test]
fn every_seed_of_the_token_files_holds() {
    replay("token_files", properties::token_files, DAMAGE_MAX);
}

#[test]
fn every_seed_of_the_credentials_holds() {
    replay("credentials", properties::credentials, DAMAGE_MAX);
}

#[test]
fn every_seed_of_the_answers_of_services_holds() {
    replay("http_answers", properties::http_answers, DAMAGE_MAX);
    replay("redis_answers", properties::redis_answers, DAMAGE_MAX);
}

#[test]
fn every_seed_of_the_answers_of_plugins_holds() {
    replay("plugin_answers", properties::plugin_answers, DAMAGE_MAX);
}

#[test]
fn every_seed_of_what_proxies_say_holds() {
    replay("proxy", properties::proxy, DAMAGE_MAX);
    replay("forwarded", properties::forwarded, DAMAGE_MAX);
}

#[test]
fn every_seed_of_the_urls_of_services_holds() {
    replay("service_urls", properties::service_urls_stay, DAMAGE_MAX);
}

#[test]
fn every_seed_of_the_signed_and_encrypted_tokens_holds() {
    replay("jws", properties::jws, DAMAGE_MAX);
    replay("jwe", properties::jwe, DAMAGE_MAX);
}

#[test]
fn every_seed_of_the_planted_secrets_holds() {
    replay("secrets", properties::secrets, DAMAGE_MAX);
}

#[test]
fn every_seed_of_the_chains_of_certificates_holds() {
    replay("certificates", properties::certificates, HANDSHAKE_DAMAGE_MAX);
}

#[test]
fn every_seed_of_spliced_data_holds() {
    replay("splice", properties::splice, 1);
}

#[test]
fn every_target_is_built_and_its_seeds_are_replayed() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest =
        fs::read_to_string(fuzz.join("Cargo.toml")).expect("the manifest is part of the repository");
    let targets = fs::read_dir(fuzz.join("fuzz_targets")).expect("the targets are part of the repository");
    let targets: Vec<String> = targets
        .map(|entry| entry.expect("the folder is readable").path())
        .map(|path| path.file_stem().expect("a file").to_string_lossy().into_owned())
        .collect();
    assert!(!targets.is_empty());
    for target in targets {
        assert!(manifest.contains(&format!("name = \"{target}\"\n")), "{target} is not built");
        let replay = format!("    replay(\"{target}\", ");
        assert!(include_str!("corpus.rs").contains(&replay), "the seeds of {target} are not replayed");
    }
}

fn replay(target: &str, property: fn(&[u8]), damage_max: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut seeds = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is part of the repository") {
        let path = entry.expect("the corpus is readable").path();
        let seed = fs::read(&path).expect("a seed is a file");
        // Shown when it fails.
        println!("{}", path.display());
        property(&seed);
        for at in 0..seed.len().min(damage_max) {
            println!("cut at {at}, or a bit of that byte turned");
            property(&seed[..at]);
            let mut damaged = seed.clone();
            for bit in 0..8 {
                damaged[at] = seed[at] ^ 1 << bit;
                property(&damaged);
            }
        }
        seeds += 1;
    }
    assert!(seeds > 0, "{} has seeds", folder.display());
}

/// How far into a seed each bit is tried, so that a large one does not take long.
const DAMAGE_MAX: usize = 256;

/// The same where every try costs a handshake.
const HANDSHAKE_DAMAGE_MAX: usize = 8;

/// The same for states: some seeds have a handshake and a web server.
const STATES_DAMAGE_MAX: usize = 40;
