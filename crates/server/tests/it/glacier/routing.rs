//! Paths and what is at them.

use icefield_server::route::ROUTES;

use super::world::World;

#[tokio::test]
async fn every_route_reaches_its_operation() {
    let world = World::new().await;
    for route in ROUTES {
        let path = route.path.replace("{account}", "-").replace("{vault}", "none");
        let query = route.parameter.map(|value| format!("?operation={value}")).unwrap_or_default();
        let target = format!("{}{query}", path.replace("{id}", "-x"));
        let ask = world.ask(route.method, &target);
        let ask = if route.operation.has_payload() { ask.payload("x") } else { ask.body("{}") };
        let answer = ask.send().await;
        // Without the vault only its operations notice; the others succeed or miss their parameters.
        if route.operation.has_vault() && answer.status >= 300 {
            let text = format!("Vault not found for ARN: {}", world.arn("none"));
            answer.assert_refused(404, "ResourceNotFoundException", &text);
        }
        assert_ne!(answer.status, 500, "{}: {answer:?}", route.operation);
        world.send("DELETE", "/-/vaults/none").await;
    }
}

#[tokio::test]
async fn what_no_operation_has_is_a_bad_request_even_unsigned() {
    let world = World::new().await;
    for (method, target) in
        [("GET", "/"), ("GET", "/vaults/photos"), ("PATCH", "/-/vaults"), ("GET", "/-//vaults")]
    {
        let mut ask = world.ask(method, target);
        for identity in [ask.identity.take(), None] {
            ask.identity = identity;
            let text = "No operation has this path and method.";
            ask.send().await.assert_refused(400, "BadRequest", text);
        }
    }
}

#[tokio::test]
async fn illegal_vault_names_are_told_back_and_never_made() {
    let world = World::new().await;
    for (segment, name) in [
        ("testz:z", "testz:z"),
        ("a%2Fb", "a/b"),
        ("..", ".."),
        ("%2e%2e", ".."),
        ("a%00b", "a\0b"),
        ("%ff", "\u{fffd}"),
        ("a%20b", "a b"),
    ] {
        let target = format!("/-/vaults/{segment}");
        let text = format!("Invalid vault name: {name}");
        let made = world.send("PUT", &target).await;
        made.assert_refused(400, "InvalidParameterValueException", &text);
        for (method, below) in [("GET", ""), ("DELETE", ""), ("GET", "/jobs"), ("POST", "/jobs")] {
            let text = format!("Vault not found for ARN: {name}");
            let answer = world.send(method, &format!("{target}{below}")).await;
            answer.assert_refused(404, "ResourceNotFoundException", &text);
        }
    }
}

#[tokio::test]
async fn a_slash_at_the_end_is_ignored_and_signed() {
    let world = World::new().await;
    world.create_vault("photos/").await;
    assert_eq!(world.send("GET", "/-/vaults/photos").await.status, 200);
    assert_eq!(world.send("GET", "/-/vaults/").await.json()["VaultList"][0]["VaultName"], "photos");
}

#[tokio::test]
async fn the_account_is_that_of_the_caller_or_twelve_digits() {
    let world = World::new().await;
    let own = world.send("GET", &format!("/{}/vaults", world.account)).await;
    assert_eq!(own.status, 200);
    for account in ["vaults", "1234-5678-9012", "12345678901", "--"] {
        let answer = world.send("GET", &format!("/{account}/vaults")).await;
        let text = format!("Invalid account ID: {account}");
        answer.assert_refused(400, "InvalidParameterValueException", &text);
    }
    let other = world.engine.create_account().await.unwrap().account;
    for target in [format!("/{other}/vaults"), format!("/{other}/vaults/v")] {
        let (status, code, text) = world.send("GET", &target).await.refusal();
        assert_eq!((status, code.as_str()), (403, "AccessDeniedException"), "{text}");
    }
}
