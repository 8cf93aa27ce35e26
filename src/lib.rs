//! bearward: a proxy beside an application that cannot do OAuth. This is the page to read first.
//!
//! ```text
//!  application            bearward                                     API ("upstream")
//!  ───────────   ┌────────────────────────────────────────────────┐   ────────────────
//!   GET /orders ─┼─► ingress ─► proxy::exchange ─► upstream ──────┼─► GET /orders
//!    (no token)  │                   │  ▲                         │    Authorization: Bearer …
//!                │       "a token?"  │  │ held in memory          │
//!                │                   ▼  │                         │   authorization server
//!                │            token::TokenSource                  │   ────────────────────
//!                │                   ▲                            │
//!                │                   │ one task per held token    │
//!                │             token::refresher ─► oauth::Grant ──┼─► POST /oauth/token
//!                │                   │                            │
//!                │                   ▼                            │
//!                │             token::store (a file, a lock)      │
//!                └────────────────────────────────────────────────┘
//! ```
//!
//! # The ways in
//!
//! ```text
//!  own port,     ──► accept ──► protocol ──► door ──► admission ───────────────────► exchange
//!  gateway
//!  forward proxy ──► accept ──► protocol ──► door ──► forward ───── an upstream's ─► exchange
//!                                             ▲          │ CONNECT
//!                                             │          ▼
//!  redirected    ──► accept ──► redirected ───┼──► forward::inside ── no upstream's ─► a tunnel
//!  connection                                 │          │ an upstream's: its TLS is opened (ca)
//!                                             └──────────┘ each request inside
//! ```
//!
//! However a request comes in, it comes through one door to one exchange.
//!
//! # The way of a request
//!
//! 1. [`ingress::accept`] takes a connection; [`ingress::protocol`] finds out what it speaks, over TLS where the listener has it
//!    ([`ingress::tls`]). HTTP/1.1 is read by us (`ingress/http1`, by the grammar of [`wire`]; `docs/design.md` says why), HTTP/2 by
//!    hyper behind a meter ([`ingress::http2`]), each within its limits ([`ingress::connection`]).
//! 2. [`ingress::entrance`] knows the [`ingress::door`] of now, which a reload replaces. Behind an upstream's own port and the gateway it asks
//!    [`ingress::admission`] whether the request may come in (Host, Origin). Behind the forward proxy [`ingress::forward`] finds the
//!    upstream by the origin that the target names ([`proxy::origins`]), and lets nothing else near a token.
//! 3. A tunnel to an upstream, and a connection that the system redirected ([`ingress::redirected`]), hold requests of their own:
//!    `ingress/forward/inside.rs` opens their TLS with a leaf certificate ([`ca`]), and each comes to the same door, bound to the
//!    origin that the tunnel leads to ([`ingress::caller`]).
//! 4. [`proxy::exchange`](mod@proxy::exchange) is the spine: the route ([`proxy::routes`]), the outgoing head
//!    (`proxy/fields.rs`), the token (a read of memory), sending ([`upstream::client`]), and the question whether the
//!    answer rejects this very token ([`proxy::rejection`]). If so the token is replaced and the request sent once more
//!    ([`proxy::replay`]); there is no loop. Where the upstream agrees to an upgrade, octets pass from then on (`proxy/upgrade.rs`).
//! 5. [`upstream`] has the connections: kept ones (`upstream/pool.rs`), new ones to the address itself or through an outer proxy
//!    ([`upstream::connect`]), HTTP/1.1 of our own (`upstream/http1`), HTTP/2 of hyper's (`upstream/http2.rs`).
//! 6. What cannot be answered by the upstream is answered by [`proxy::failure`], a table.
//!
//! # The way of a token
//!
//! 1. [`config`] reads a recipe; [`app`] makes an [`oauth::Grant`] and a [`token::TokenSource`] of it.
//! 2. One task owns each held token (`token/refresher.rs`, whose next step is a pure function in `token/state.rs`). An
//!    attempt (`token/attempt.rs`) takes the store's lock ([`token::store`]), reads again what another process may have
//!    written, asks the grant, writes, and only then lets requests see the token.
//! 3. The grant ([`oauth::grant`]) asks the token endpoint ([`oauth::token_endpoint`]), which is written in the
//!    configuration or found through its issuer ([`oauth::place`], [`oauth::discovery`]), over a connection of its own
//!    ([`upstream::once`]) and judges the answer ([`oauth::response`]).
//! 4. The task refreshes before the token expires (`token/schedule.rs`), and when an exchange says that this generation
//!    was rejected.
//!
//! The two ways meet at one type, the [`token::TokenSource`].
//!
//! # The way of a login
//!
//! Where a grant begins with a person ([`oauth::login`]), a terminal (`cli/login.rs`) or the page (`admin/logins.rs`) begins a
//! session ([`login`]): a browser comes back to a listener for this one login, a code is pasted, or a device is waited for.
//! What was granted goes into the store under its lock ([`token::login`]); the task of that token sees it there
//! (`token/lookout.rs`), in this process or in any other.
//!
//! # What always holds
//!
//! - A token goes to the origin that its route was configured with, and nowhere else.
//! - A request is never sent bare because a token is missing.
//! - A request never runs a refresh, and its end never cancels one.
//! - What is rejected is a generation, never "the current token".
//! - A rotated refresh token is on disk before the access token that came with it is used.
//! - A secret leaves its type only where an `#[expect(clippy::disallowed_methods, reason = …)]` says why.
//!
//! # The modules, in reading order
//!
//! [`ingress`], [`ca`], [`proxy`], [`upstream`], [`wire`]; [`login`], [`token`], [`oauth`]; [`config`], [`app`], [`admin`], [`cli`]; [`demo`]. All may
//! know [`secret`], [`clock`] and [`telemetry`]. Who else may know whom is held by `tests/house.rs`.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests look at secrets and clocks"))]

pub mod ca;
pub mod ingress;
pub mod proxy;
pub mod upstream;
pub mod wire;

pub mod login;
pub mod oauth;
pub mod token;

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod demo;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

pub mod clock;
pub mod secret;
pub mod telemetry;
