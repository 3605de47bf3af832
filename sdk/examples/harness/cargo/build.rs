//! Tells the linker of the tests where libmfdata-harness is. The plugin itself links nothing.
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    let asked = Command::new("pkg-config").args(["--variable=libdir", "mfdata-harness"]).output();
    match asked {
        Ok(answer) if answer.status.success() => {
            let place = String::from_utf8_lossy(&answer.stdout).trim().to_string();
            println!("cargo:rustc-link-search=native={place}");
            println!("cargo:rustc-link-arg-tests=-Wl,-rpath,{place}");
        }
        _ => println!("cargo:warning=pkg-config does not find mfdata-harness: the tests cannot be linked"),
    }
}
