# The package, for `pkgs.callPackage`; the flake in the root of the repository calls it. It is built from the tree beside it.
{ lib, rustPlatform, imagemagick, librsvg }:

let
  manifest = (builtins.fromTOML (builtins.readFile ../../Cargo.toml)).package;
in
rustPlatform.buildRustPackage {
  pname = manifest.name;
  inherit (manifest) version;
  src = lib.cleanSource ../..;
  cargoLock.lockFile = ../../Cargo.lock;

  nativeBuildInputs = [ imagemagick librsvg ];
  buildType = "dist";
  # They want mail servers, a browser and a desktop's panel; the demo below shows that it works.
  doCheck = false;

  # The program is in its place by then; what else Linux packages have comes from the script that they share.
  postInstall = ''
    patchShebangs packaging
    OSTLER_BINARY=$out/bin/ostler packaging/stage stage
    cp -r stage/usr/share stage/usr/lib $out/
    substituteInPlace $out/lib/systemd/user/ostler.service $out/lib/systemd/system/ostler@.service \
      --replace-fail /usr/bin/ostler $out/bin/ostler
  '';
  doInstallCheck = true;
  installCheckPhase = "$out/bin/ostler demo";

  meta = {
    inherit (manifest) description;
    license = with lib.licenses; [ mit asl20 ];
    mainProgram = "ostler";
    platforms = lib.platforms.linux;
  };
}
