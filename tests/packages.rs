//! What package managers read of ostler: written by the scripts in `packaging/`, parsed here, by the managers' own programs
//! where they are here. `packaging/smoke` installs and runs the packages themselves.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::process::{command, run, said};
use support::{folder, has, is_root, require};

const REPOSITORY: &str = "https://example.org/ann/ostler";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const SUMMARY: &str = env!("CARGO_PKG_DESCRIPTION");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a script of `packaging/` to its end; its last line.
fn script(command: &mut Command) -> String {
    let output = run(command.current_dir(root()), "");
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap_or_default().to_owned()
}

fn packaging(name: &str, args: &[&str]) -> Command {
    command(root().join("packaging").join(name), args)
}

fn sum(file: &Path) -> String {
    let output = run(&mut command("sha256sum", [file]), "");
    said(&output).split(' ').next().unwrap().to_owned()
}

/// What `packaging/names` calls a file of the release.
fn release_name(target: &str, system: &str, processor: &str) -> String {
    let text = format!(". packaging/names; release_name {system} {processor}");
    script(command("bash", ["-c", &text]).env("OSTLER_TARGET", target))
}

/// A table of Cargo.toml, flat: the keys below it, with the last words of their path in front.
fn metadata(path: &[&str]) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    let table = path.iter().fold(&manifest, |table, key| table[*key].as_table().unwrap());
    table.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

#[test]
fn binstall_looks_for_the_archives_that_a_release_has() {
    const ARCH: &str = "$(processor)";
    let mac = ("macos", "universal", "zip", "ostler.app/Contents/MacOS/ostler");
    for (target, (system, processor, kind, program)) in [
        ("x86_64-unknown-linux-gnu", ("linux", ARCH, "tgz", "@/bin/ostler")),
        ("aarch64-unknown-linux-gnu", ("linux", ARCH, "tgz", "@/bin/ostler")),
        ("x86_64-pc-windows-msvc", ("windows", ARCH, "zip", "@/ostler.exe")),
        ("aarch64-apple-darwin", mac),
        ("x86_64-apple-darwin", mac),
    ] {
        let mut found = metadata(&["package", "metadata", "binstall"]);
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        if manifest.contains(&format!("[package.metadata.binstall.overrides.{target}]")) {
            found.extend(metadata(&["package", "metadata", "binstall", "overrides", target]));
        }
        let filled = |key: &str| {
            let text = found[key].replace("{ repo }", REPOSITORY).replace("{ version }", VERSION);
            text.replace("{ target-arch }", target.split('-').next().unwrap()).replace("{ bin }", "ostler")
        };
        let name = release_name(target, system, processor);
        let ending = if kind == "tgz" { "tar.gz" } else { kind };
        assert_eq!(filled("pkg-url"), format!("{REPOSITORY}/releases/download/v{VERSION}/{name}.{ending}"), "{target}");
        assert_eq!(filled("bin-dir"), program.replace('@', &name), "{target}");
        assert_eq!(found["pkg-fmt"], kind, "{target}");
    }
}

/// Programs that begin as those for Windows do.
fn windows_programs(folder: &Path) -> PathBuf {
    std::fs::write(folder.join("ostlerw.exe"), "MZ windowless").unwrap();
    std::fs::write(folder.join("ostler.exe"), "MZ").unwrap();
    folder.join("ostler.exe")
}

#[test]
fn scoop_finds_both_programs_in_the_archive_for_windows() {
    require!("7z");
    let folder = folder();
    let pack = || script(packaging("windows/archive", &[]).env("OSTLER_BINARY", windows_programs(folder.path())));
    let archive = PathBuf::from(pack());
    let first = sum(&archive);
    assert_eq!(pack(), archive.to_str().unwrap());
    assert_eq!(sum(&archive), first, "packed twice, it is not the same file");

    let manifest = script(&mut packaging("scoop/build", &[REPOSITORY, archive.to_str().unwrap()]));
    let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    assert_eq!((&manifest["version"], &manifest["description"]), (&VERSION.into(), &SUMMARY.into()));
    let download = &manifest["architecture"]["64bit"];
    let file = archive.file_name().unwrap().to_str().unwrap();
    assert_eq!(download["url"], format!("{REPOSITORY}/releases/download/v{VERSION}/{file}"));
    assert_eq!(download["hash"], first);
    let listed = said(&run(&mut command("7z", ["l", "-ba", archive.to_str().unwrap()]), ""));
    for program in [&manifest["bin"], &manifest["shortcuts"][0][0]] {
        let path = format!("{}/{}", download["extract_dir"].as_str().unwrap(), program.as_str().unwrap());
        assert!(listed.contains(&path), "{path}: {listed}");
    }
}

#[test]
fn a_program_for_another_system_is_not_packed_for_windows() {
    let folder = folder();
    let program = windows_programs(folder.path());
    std::fs::write(&program, "\u{7f}ELF").unwrap();
    let output = run(packaging("windows/archive", &[]).env("OSTLER_BINARY", program), "");
    assert!(!output.status.success());
    assert!(has("7z").is_err() || said(&output).contains("is no program for Windows"), "{}", said(&output));
}

#[test]
fn winget_and_homebrew_get_the_published_file_with_its_checksum() {
    let folder = folder();
    let published = folder.path().join("published");
    std::fs::write(&published, "a file of the release").unwrap();
    let sum = sum(&published);
    for (index, sum) in [("winget/build", sum.to_uppercase()), ("homebrew/build", sum)] {
        let text = script(&mut packaging(index, &[REPOSITORY, published.to_str().unwrap()]));
        let text = std::fs::read_to_string(text).unwrap();
        for wanted in [REPOSITORY, VERSION, SUMMARY, &sum] {
            assert!(text.contains(wanted), "{index}: {wanted}: {text}");
        }
        assert!(!text.contains('@'), "{index}: something is not filled in: {text}");
    }
}

#[test]
fn makepkg_reads_the_arch_package() {
    require!("makepkg", "pacman");
    let folder = folder();
    let archive = folder.path().join("source.tar.gz");
    std::fs::write(&archive, "a source archive").unwrap();
    let mut build = packaging("aur/build", &[REPOSITORY, archive.to_str().unwrap()]);
    if is_root() {
        // makepkg refuses root, so root gets another name.
        let inner = build;
        build = command("unshare", ["--user", "--map-user=1000", "--map-group=1000"]);
        build.arg(inner.get_program()).args(inner.get_args());
    }
    let made = PathBuf::from(script(&mut build));
    let read = std::fs::read_to_string(made.join(".SRCINFO")).unwrap();
    let lines: Vec<_> = read.lines().map(str::trim).collect();
    let source = format!("source = ostler-{VERSION}.tar.gz::{REPOSITORY}/archive/refs/tags/v{VERSION}.tar.gz");
    let sum = format!("sha256sums = {}", sum(&archive));
    let facts =
        [format!("pkgver = {VERSION}"), format!("pkgdesc = {SUMMARY}"), format!("url = {REPOSITORY}"), source, sum];
    for wanted in facts.iter().map(String::as_str).chain(["pkgname = ostler", "arch = aarch64"]) {
        assert!(lines.contains(&wanted), "{wanted}: {read}");
    }
}

#[test]
fn nix_evaluates_the_package_and_parses_the_flake() {
    require!("nix-instantiate");
    let nix = |args: &[&str]| {
        let output = run(command("nix-instantiate", args).current_dir(root()), "");
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(nix(&["--parse", "flake.nix"]).contains("packaging/nix/package.nix"));
    // Without nixpkgs: what the package says is taken as it is.
    let package = "let package = import ./packaging/nix/package.nix {
            lib = { cleanSource = path: path; licenses = { mit = 1; asl20 = 2; }; platforms.linux = [ ]; };
            rustPlatform.buildRustPackage = package: package; imagemagick = 1; librsvg = 2; };
        in { inherit (package) pname version; inherit (package.meta) description;
             lock = builtins.pathExists package.cargoLock.lockFile; }";
    let read: serde_json::Value = serde_json::from_str(&nix(&["--eval", "--strict", "--json", "-E", package])).unwrap();
    let wanted = serde_json::json!({"pname": "ostler", "version": VERSION, "description": SUMMARY, "lock": true});
    assert_eq!(read, wanted);
}

#[test]
fn only_what_a_releaser_has_signed_is_verified() {
    require!("ssh-keygen");
    let folder = folder();
    let [release, signers, key, other] = ["release", "signers", "key", "other"].map(|name| folder.path().join(name));
    for key in [&key, &other] {
        let made = command("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key.to_str().unwrap()]);
        assert!(run(&mut { made }, "").status.success());
    }
    std::fs::create_dir(&release).unwrap();
    let file = |name: &str, text: &str| std::fs::write(release.join(name), text).unwrap();
    file("ostler.deb", "a package");
    file("ostler setup.exe", "another");
    let with_signers = |script: &str, args: &[&Path]| {
        let mut start = packaging(script, &[]);
        run(start.args(args).env("OSTLER_SIGNERS", &signers), "")
    };
    std::fs::write(&signers, "# nobody yet\n").unwrap();
    let refused = with_signers("sign", &[&release, &key]);
    assert!(!refused.status.success() && !release.join("SHA256SUMS.sig").exists(), "{}", said(&refused));

    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    std::fs::write(&signers, format!("ann namespaces=\"ostler-release\" {public}")).unwrap();
    let signed = with_signers("sign", &[&release, &key]);
    assert!(signed.status.success(), "{}", said(&signed));
    let verify = || with_signers("verify", &[&release]);
    let good = || {
        let output = verify();
        assert!(output.status.success() && said(&output).contains("signed by ann"), "{}", said(&output));
    };
    let bad = |why: &str| {
        let output = verify();
        assert!(!output.status.success() && said(&output).contains(why), "{why}: {}", said(&output));
    };
    good();
    file("ostler.deb", "a changed package");
    bad("a file is not what was published");
    // With the sum that fits it.
    assert!(with_signers("sign", &[&release]).status.success());
    bad("SHA256SUMS.sig is by none of the releasers");
    assert!(!with_signers("sign", &[&release, &other]).status.success());
    file("ostler.deb", "a package");
    assert!(with_signers("sign", &[&release, &key]).status.success());
    // Somebody who has only some of the files.
    std::fs::remove_file(release.join("ostler setup.exe")).unwrap();
    good();
    file("extra", "slipped in");
    bad("extra is not a file of this release");
}

#[test]
fn every_script_that_is_named_is_there() {
    let read = |file: &str| std::fs::read_to_string(root().join(file)).unwrap();
    let mut seen = 0;
    for file in [".github/workflows/ci.yml", ".github/workflows/release.yml", "packaging/smoke", "CONTRIBUTING.md"] {
        for (line, text) in read(file).lines().enumerate() {
            for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || "/-._".contains(c))) {
                if word.starts_with("packaging/") {
                    let word = word.trim_end_matches('.');
                    assert!(root().join(word).exists(), "{file}, line {}: {word}", line + 1);
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 20, "{seen}");
    let readme = read("packaging/README.md");
    for entry in std::fs::read_dir(root().join("packaging")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || readme.contains(&format!("`{name}")), "packaging/README.md leaves out {name}");
    }
}
