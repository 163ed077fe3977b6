//! How fast bodies are searched for secrets: MB/s on JSON of 1 MiB, for `cargo bench -p mcptap-model`.

use std::hint::black_box;
use std::time::Instant;

use mcptap_model::redact::Redactor;

/// Bodies of about 1 MiB that hold no secret, from prose to source code.
fn bodies() -> [(&'static str, String); 3] {
    let filled = |item: &dyn Fn(usize) -> serde_json::Value| {
        let mut items = Vec::new();
        let mut bytes = 0;
        while bytes < 1 << 20 {
            let item = item(items.len());
            bytes += item.to_string().len() + 1;
            items.push(item);
        }
        serde_json::Value::Array(items).to_string()
    };
    let rows = filled(&|index| {
        serde_json::json!({"id": index, "uuid": format!("0b4e3b1c-55d0-4d5f-8a11-{index:012x}"), "name": "Ada Lovelace",
            "updatedAt": "2026-07-28T10:00:00.000Z", "tags": ["analysis", "engine"], "price": 12.5, "stock": null})
    });
    let prose = filled(&|_| {
        serde_json::json!({"type": "text", "text": "The quick brown fox jumps over the lazy dog, and asks the author \
            for access to the identity provider. Tasks at risk are listed first.\nSee https://docs.example.org/a/b?page=2."})
    });
    let source = filled(&|_| {
        serde_json::json!({"path": "src/session.rs", "text": "pub fn tokenise(&self, passage: &str) -> Result<Vec<Token>, \
            Error> {\n    let secretary = self.tokens.get(key)?;\n    Ok(secretary.pass_on(passage))\n}\n"})
    });
    [("rows", rows), ("prose", prose), ("source", source)]
}

fn main() {
    let redactor = Redactor::default();
    for (name, body) in bodies() {
        assert_eq!(redactor.redact(&body), body, "{name} holds no secret");
        let start = Instant::now();
        let mut rounds = 0_u32;
        while rounds < 5 || start.elapsed().as_secs() < 2 {
            black_box(redactor.redact(black_box(&body)));
            rounds += 1;
        }
        let megabytes = body.len() as f64 * f64::from(rounds) / 1e6;
        eprintln!("{name}: {:.0} MB/s", megabytes / start.elapsed().as_secs_f64());
    }
}
