//! The document and the readers of what is sent name the same.

use std::collections::BTreeSet;

use super::*;
use crate::wire::publish::{event, query};

fn read() -> Value {
    serde_json::from_slice(&document(METRICS, true)).unwrap()
}

#[test]
fn every_operation_is_there_once() {
    let document = read();
    let paths = document["paths"].as_object().unwrap();
    let count: usize = paths
        .values()
        .map(|path| path.as_object().unwrap().len())
        .sum();
    assert_eq!(count, OPERATIONS.len());
    let ids: BTreeSet<_> = OPERATIONS.iter().map(|operation| operation.id).collect();
    assert_eq!(ids.len(), OPERATIONS.len());
}

#[test]
fn what_a_publisher_may_say_is_what_is_read() {
    let sorted = |names: &mut dyn Iterator<Item = &'static str>| names.collect::<BTreeSet<_>>();
    let fields = sorted(&mut objects::EVENT.fields.iter().map(|field| field.name));
    assert_eq!(fields, sorted(&mut event::FIELDS.into_iter()));
    let parameters = parameters(Verb::Post, "/v1/channels/{channel}/events");
    let parameters = sorted(&mut parameters.iter().map(|parameter| parameter.name));
    assert_eq!(parameters, sorted(&mut query::PARAMETERS.into_iter()));
}

#[test]
fn every_reference_leads_to_an_object_and_every_object_has_a_name_of_its_own() {
    let document = read();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert_eq!(schemas.len(), objects::ALL.len());
    let text = document.to_string();
    for (_, rest) in text
        .match_indices("\"$ref\":\"")
        .map(|(at, found)| text.split_at(at + found.len()))
    {
        let name = rest.split('"').next().unwrap();
        assert!(
            document.pointer(name.strip_prefix('#').unwrap()).is_some(),
            "{name}"
        );
    }
}

#[test]
fn a_status_is_told_once_with_all_its_codes() {
    let document = read();
    let refused = document
        .pointer("/paths/~1v1~1kick/post/responses/422")
        .unwrap();
    let schema = refused.pointer("/content/application~1problem+json/schema/allOf/1");
    let codes = &schema.unwrap()["properties"]["code"]["enum"];
    assert_eq!(codes, &json!(["invalid-field", "invalid-parameter"]));
}
