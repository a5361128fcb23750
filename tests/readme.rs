//! The README says what the code says.

use std::path::Path;

use mako_raft::config::settings::markdown_table;

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    std::fs::read_to_string(path).expect("README.md is there")
}

#[test]
fn the_table_of_settings_is_the_code_s_own_list() {
    let readme = readme();
    let (_, rest) = readme.split_once("<!-- settings -->\n").expect("the table's begin mark");
    let (table, _) = rest.split_once("<!-- /settings -->").expect("the table's end mark");
    let expected = markdown_table();
    assert!(table == expected, "put this between the marks in README.md:\n{expected}");
}

#[test]
fn every_file_that_the_readme_links_to_is_there() {
    let readme = readme();
    let links = readme.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
    for link in links.filter(|link| !link.starts_with('#')) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(link);
        assert!(path.exists(), "README.md links to {link}, which is not there");
    }
}
