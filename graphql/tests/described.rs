//! Whoever reads the schema reads documentation: nothing in it is undescribed.

use serde_json::Value;

const INTROSPECTION: &str = "{ __schema { types { name kind description
    fields(includeDeprecated: true) { name description args(includeDeprecated: true) { name description } }
    inputFields(includeDeprecated: true) { name description }
    enumValues(includeDeprecated: true) { name description } } } }";

fn undescribed(path: &str, element: &Value, missing: &mut Vec<String>) {
    let path = format!("{path}{}", element["name"].as_str().unwrap_or_default());
    if element["description"]
        .as_str()
        .is_none_or(|text| text.trim().is_empty())
    {
        missing.push(path.clone());
    }
    for part in ["fields", "inputFields", "enumValues", "args"] {
        for inner in element[part].as_array().into_iter().flatten() {
            undescribed(&format!("{path}."), inner, missing);
        }
    }
}

#[tokio::test]
async fn every_element_is_described() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", directory.path().join("test.db").display());
    let (_writer, store) = mcptap_store::open(&url, mcptap_store::Options::default())
        .await
        .unwrap();
    let response = mcptap_graphql::schema(store).execute(INTROSPECTION).await;
    assert!(response.errors.is_empty(), "{:?}", response.errors);
    let data = serde_json::to_value(&response.data).unwrap();
    let mut missing = Vec::new();
    for kind in data["__schema"]["types"].as_array().unwrap() {
        if !kind["name"].as_str().unwrap().starts_with("__") {
            undescribed("", kind, &mut missing);
        }
    }
    assert!(missing.is_empty(), "no description: {missing:#?}");
}
