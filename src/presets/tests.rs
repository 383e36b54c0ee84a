use super::*;

#[test]
fn the_built_in_file_has_no_mistakes() {
    let read = config::read_providers(BUILT_IN, Path::new("config/providers.toml"), false);
    let presets = read.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(presets.len(), Presets::built_in().iter().count());
}
