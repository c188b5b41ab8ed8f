//! Builds `rebind/lib.rs`, the library that is preloaded into wrapped programs, for the target; the program carries it
//! (`src/os/rebind`). What compiles the program compiles it, so nothing else is needed.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The processors whose system call numbers the library has. For another one the program is built without it, and says
/// so when a program is to be wrapped.
const PROCESSORS: [&str; 6] = ["x86_64", "aarch64", "riscv64", "loongarch64", "x86", "arm"];

fn main() {
    println!("cargo::rerun-if-changed=rebind/lib.rs");
    println!("cargo::rerun-if-changed=build.rs");
    let library = PathBuf::from(variable("OUT_DIR")).join("rebind.so");
    let processor = variable("CARGO_CFG_TARGET_ARCH");
    if variable("CARGO_CFG_TARGET_OS") != "linux" || !PROCESSORS.contains(&processor.as_str()) {
        fs::write(&library, "").expect("cargo's directory for outputs can be written");
        return;
    }
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--crate-name", "rebind", "--crate-type", "cdylib", "--edition", "2024"]);
    rustc.args(["--target", &variable("TARGET"), "rebind/lib.rs", "-o"]).arg(&library);
    rustc.args(["-C", "opt-level=z", "-C", "panic=abort", "-C", "strip=symbols", "-C", "codegen-units=1"]);
    rustc.args(["-C", "force-unwind-tables=no"]);
    // Of musl there is one libc in the program, and the library uses that.
    rustc.args(["-C", "target-feature=-crt-static"]);
    // No libc by name, so that any will do; and few pages, since it is small.
    for word in ["-nostdlib", "-nostartfiles", "-Wl,-z,noseparate-code", "-Wl,--build-id=none"] {
        rustc.args(["-C", &format!("link-arg={word}")]);
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    let status = rustc.status().expect("the compiler that cargo names can be started");
    assert!(status.success(), "rebind/lib.rs was not built: {status}");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("cargo sets {name}: {error}"))
}
