//! What holds for any answer and any path.

use proptest::prelude::*;

use super::{support::*, tokens::*};

/// JSON of any shape whose `/error/key` is not `token.invalid`.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[a-z.]{0,12}".prop_map(Into::into),
        Just("token.invalid".into()),
    ];
    let tree = leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![Just("error".to_owned()), Just("key".to_owned()), "[a-z]{1,5}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(key, inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    });
    tree.prop_filter("it is a rejection", |json| {
        json.pointer("/error/key").and_then(serde_json::Value::as_str) != Some("token.invalid")
    })
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        ("X-[A-Za-z]{1,8}", "[!-~]([ -~]{0,20}[!-~])?").prop_map(|(name, value)| format!("{name}: {value}\r\n")),
        "(Basic|Digest|Negotiate|Bearer)( (realm|error_uri|scope)=\"[a-z, =]{0,12}\"(, *[a-z]{1,4}=[a-z]{1,5})?)?"
            .prop_map(|challenge| format!("WWW-Authenticate: {challenge}\r\n")),
        "[ -~]{0,40}"
            .prop_filter("it may be a rejection", |text| !text.to_lowercase().contains("invalid"))
            .prop_map(|text| format!("WWW-Authenticate: {}\r\n", text.trim())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn r120_an_answer_that_is_no_rejection_passes_byte_for_byte(
        json in json(),
        fields in prop::collection::vec(field(), 0..6),
        status in prop_oneof![Just(401_u16), Just(401), Just(200), Just(403), Just(500)],
        in_chunks in any::<bool>(),
        cut in 0_usize..20,
    ) {
        run(async move {
            let bench = Bench::new();
            let body = json.to_string();
            let head = format!("HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\n{}", fields.concat());
            let sent = if in_chunks {
                let (one, two) = body.split_at(body.floor_char_boundary(cut.min(body.len())));
                let chunk = |text: &str| {
                    if text.is_empty() { String::new() } else { format!("{:X}\r\n{text}\r\n", text.len()) }
                };
                format!("{head}Transfer-Encoding: chunked\r\n\r\n{}{}0\r\n\r\n", chunk(one), chunk(two))
            } else {
                format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
            };
            let answer = sent.clone().into_bytes();
            let (origin, seen) = Origin::answering(move |_, _| answer.clone()).await;
            let proxy = bench.proxy(&origin, |_| {}).await;
            let got = proxy.get("/").await;
            assert_unchanged(sent.as_bytes(), &got);
            assert_eq!((seen.count(), bench.token_requests()), (1, 1), "{sent}");
        });
    }
}
