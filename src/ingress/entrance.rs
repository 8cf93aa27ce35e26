//! An open listener, as its connections see it for as long as they live.
//!
//! Knows that the door behind a listener and its limits are replaced at a reload, and that who asks for them gets those of now.

use std::{cell::RefCell, rc::Rc};

use super::{caller::Caller, connection::Limits, door::Door, drain::Drain};
use crate::{
    proxy::ResponseBody,
    wire::{Answer, Incoming, Request},
};

/// What the connections of one listener have in common. What is in it is replaced at a reload.
#[derive(Debug)]
pub struct Entrance {
    door: RefCell<Rc<Door>>,
    limits: Rc<RefCell<Rc<Limits>>>,
    drain: Drain,
}

impl Entrance {
    /// A listener with `door` behind it, until `drain` is cancelled.
    pub fn new(door: Rc<Door>, limits: Rc<Limits>, drain: Drain) -> Rc<Self> {
        Rc::new(Self { door: RefCell::new(door), limits: Rc::new(RefCell::new(limits)), drain })
    }

    /// From now on requests find this.
    pub fn replace(&self, door: Rc<Door>, limits: Rc<Limits>) {
        self.door.replace(door);
        self.limits.replace(limits);
    }

    /// What a request finds that comes now.
    pub fn door(&self) -> Rc<Door> {
        self.door.borrow().clone()
    }

    /// Answers a request through the door that is there when it comes.
    pub async fn answer(
        self: Rc<Self>,
        request: Request<Incoming>,
        caller: Rc<Caller>,
    ) -> Answer<ResponseBody> {
        let door = self.door();
        door.answer(request, &caller, &self).await
    }

    /// What bounds a connection that begins now.
    pub fn limits(&self) -> Rc<Limits> {
        self.limits.borrow().clone()
    }

    /// The limits as they will be, for whom they are asked for again and again.
    pub fn current_limits(&self) -> Rc<RefCell<Rc<Limits>>> {
        self.limits.clone()
    }

    /// Ends the listener, and each connection at its next rest.
    pub fn drain(&self) -> &Drain {
        &self.drain
    }
}
