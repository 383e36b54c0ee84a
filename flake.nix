# `nix run .` in a checkout, or `nix profile install` with the repository's address. packaging/nix has the package.
{
  inputs.nixpkgs.url = "nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }: {
    packages = nixpkgs.lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system: {
      default = nixpkgs.legacyPackages.${system}.callPackage ./packaging/nix/package.nix { };
    });
  };
}
