//! `static` of a route.

use super::*;
use crate::files::DotFiles;

#[test]
fn a_folder_has_its_rules() {
    let config = good(FULL);
    let of = |path| {
        let target = &config.routes.find(path).unwrap().0.target;
        let RouteKind::Static { files, variable } = &target.kind else {
            panic!("a static route");
        };
        (files.clone(), variable.clone(), target.internal)
    };
    let (files, variable, internal) = of("/static/app.css");
    let expected = crate::files::Settings {
        precompressed: true,
        hashed: Some(Duration::from_secs(365 * 86_400)),
        max_age: Duration::from_secs(60),
        index: Some("index.html".into()),
        ..crate::files::Settings::new("/srv/$app/static".into())
    };
    assert_eq!(files, expected);
    assert_eq!((variable.as_deref(), internal), (Some("file"), false));
    let (files, _, internal) = of("/private/x");
    assert!(internal && files.dot_files == DotFiles::Served);
    let inline: Vec<_> = files
        .inline
        .iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    assert_eq!(inline, ["image/*", "application/pdf"]);
    let defaults = crate::files::Settings::new("public".into());
    assert_eq!(of("/robots.txt"), (defaults, None, false));
}
