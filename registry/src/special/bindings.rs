//! Bindings as objects of their own: the older way to put a pod on a node.

use admission::Operation;
use api::{Status, Value, meta};
use async_trait::async_trait;

use super::{Answers, Special, pods};
use crate::{Answer, Ask, Registry, options::WriteOptions};

pub struct Bindings;

impl Special for Bindings {
    fn answers(&self) -> Option<&dyn Answers> {
        Some(self)
    }
}

#[async_trait]
impl Answers for Bindings {
    async fn answer(
        &self,
        registry: &Registry,
        ask: &Ask,
        object: Value,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let object = registry.mutate(ask, Operation::Create, object, Value::NULL, options).await?;
        let name = meta::of(&object).name().to_string();
        pods::bind(registry, ask, &name, &object, options).await
    }
}
