//! The types from which all others are reached: the kinds.

use std::borrow::Cow;

use k8s_openapi::schemars::{JsonSchema, SchemaGenerator};
use k8s_openapi::{api, apiextensions_apiserver, apimachinery, kube_aggregator};

/// A type that writes its schema and those of the types it refers to.
#[derive(Debug)]
pub struct Root {
    name: fn() -> Cow<'static, str>,
    gather: fn(&mut SchemaGenerator),
}

/// Every kind that k8s-openapi has.
pub fn all() -> &'static [Root] {
    ALL
}

impl Root {
    const fn of<T: JsonSchema>() -> Root {
        Root { name: T::schema_name, gather: |generator| drop(generator.subschema_for::<T>()) }
    }

    /// `io.k8s.api.apps.v1.Deployment`
    pub fn name(&self) -> Cow<'static, str> {
        (self.name)()
    }

    pub(crate) fn gather(&self, generator: &mut SchemaGenerator) {
        (self.gather)(generator);
    }
}

const ALL: &[Root] = &[
    Root::of::<api::admissionregistration::v1::MutatingAdmissionPolicy>(),
    Root::of::<api::admissionregistration::v1::MutatingAdmissionPolicyBinding>(),
    Root::of::<api::admissionregistration::v1::MutatingWebhookConfiguration>(),
    Root::of::<api::admissionregistration::v1::ValidatingAdmissionPolicy>(),
    Root::of::<api::admissionregistration::v1::ValidatingAdmissionPolicyBinding>(),
    Root::of::<api::admissionregistration::v1::ValidatingWebhookConfiguration>(),
    Root::of::<api::admissionregistration::v1alpha1::MutatingAdmissionPolicy>(),
    Root::of::<api::admissionregistration::v1alpha1::MutatingAdmissionPolicyBinding>(),
    Root::of::<api::admissionregistration::v1beta1::MutatingAdmissionPolicy>(),
    Root::of::<api::admissionregistration::v1beta1::MutatingAdmissionPolicyBinding>(),
    Root::of::<api::apiserverinternal::v1alpha1::StorageVersion>(),
    Root::of::<api::apps::v1::ControllerRevision>(),
    Root::of::<api::apps::v1::DaemonSet>(),
    Root::of::<api::apps::v1::Deployment>(),
    Root::of::<api::apps::v1::ReplicaSet>(),
    Root::of::<api::apps::v1::StatefulSet>(),
    Root::of::<api::authentication::v1::SelfSubjectReview>(),
    Root::of::<api::authentication::v1::TokenRequest>(),
    Root::of::<api::authentication::v1::TokenReview>(),
    Root::of::<api::authorization::v1::LocalSubjectAccessReview>(),
    Root::of::<api::authorization::v1::SelfSubjectAccessReview>(),
    Root::of::<api::authorization::v1::SelfSubjectRulesReview>(),
    Root::of::<api::authorization::v1::SubjectAccessReview>(),
    Root::of::<api::autoscaling::v1::HorizontalPodAutoscaler>(),
    Root::of::<api::autoscaling::v1::Scale>(),
    Root::of::<api::autoscaling::v2::HorizontalPodAutoscaler>(),
    Root::of::<api::batch::v1::CronJob>(),
    Root::of::<api::batch::v1::Job>(),
    Root::of::<api::certificates::v1::CertificateSigningRequest>(),
    Root::of::<api::certificates::v1::ClusterTrustBundle>(),
    Root::of::<api::certificates::v1::PodCertificateRequest>(),
    Root::of::<api::certificates::v1beta1::ClusterTrustBundle>(),
    Root::of::<api::certificates::v1beta1::PodCertificateRequest>(),
    Root::of::<api::coordination::v1::Lease>(),
    Root::of::<api::coordination::v1alpha2::LeaseCandidate>(),
    Root::of::<api::coordination::v1beta1::LeaseCandidate>(),
    Root::of::<api::core::v1::Binding>(),
    Root::of::<api::core::v1::ComponentStatus>(),
    Root::of::<api::core::v1::ConfigMap>(),
    Root::of::<api::core::v1::Endpoints>(),
    Root::of::<api::core::v1::Event>(),
    Root::of::<api::core::v1::LimitRange>(),
    Root::of::<api::core::v1::Namespace>(),
    Root::of::<api::core::v1::Node>(),
    Root::of::<api::core::v1::PersistentVolume>(),
    Root::of::<api::core::v1::PersistentVolumeClaim>(),
    Root::of::<api::core::v1::Pod>(),
    Root::of::<api::core::v1::PodTemplate>(),
    Root::of::<api::core::v1::ReplicationController>(),
    Root::of::<api::core::v1::ResourceQuota>(),
    Root::of::<api::core::v1::Secret>(),
    Root::of::<api::core::v1::Service>(),
    Root::of::<api::core::v1::ServiceAccount>(),
    Root::of::<api::discovery::v1::EndpointSlice>(),
    Root::of::<api::events::v1::Event>(),
    Root::of::<api::flowcontrol::v1::FlowSchema>(),
    Root::of::<api::flowcontrol::v1::PriorityLevelConfiguration>(),
    Root::of::<api::lifecycle::v1alpha1::Eviction>(),
    Root::of::<api::lifecycle::v1alpha1::EvictionRequest>(),
    Root::of::<api::networking::v1::IPAddress>(),
    Root::of::<api::networking::v1::Ingress>(),
    Root::of::<api::networking::v1::IngressClass>(),
    Root::of::<api::networking::v1::NetworkPolicy>(),
    Root::of::<api::networking::v1::ServiceCIDR>(),
    Root::of::<api::node::v1::RuntimeClass>(),
    Root::of::<api::policy::v1::Eviction>(),
    Root::of::<api::policy::v1::PodDisruptionBudget>(),
    Root::of::<api::rbac::v1::ClusterRole>(),
    Root::of::<api::rbac::v1::ClusterRoleBinding>(),
    Root::of::<api::rbac::v1::Role>(),
    Root::of::<api::rbac::v1::RoleBinding>(),
    Root::of::<api::resource::v1::DeviceClass>(),
    Root::of::<api::resource::v1::DeviceTaintRule>(),
    Root::of::<api::resource::v1::ResourceClaim>(),
    Root::of::<api::resource::v1::ResourceClaimTemplate>(),
    Root::of::<api::resource::v1::ResourceSlice>(),
    Root::of::<api::resource::v1alpha3::DeviceTaintRule>(),
    Root::of::<api::resource::v1alpha3::ResourcePoolStatusRequest>(),
    Root::of::<api::resource::v1beta1::DeviceClass>(),
    Root::of::<api::resource::v1beta1::ResourceClaim>(),
    Root::of::<api::resource::v1beta1::ResourceClaimTemplate>(),
    Root::of::<api::resource::v1beta1::ResourceSlice>(),
    Root::of::<api::resource::v1beta2::DeviceClass>(),
    Root::of::<api::resource::v1beta2::DeviceTaintRule>(),
    Root::of::<api::resource::v1beta2::ResourceClaim>(),
    Root::of::<api::resource::v1beta2::ResourceClaimTemplate>(),
    Root::of::<api::resource::v1beta2::ResourceSlice>(),
    Root::of::<api::scheduling::v1::PriorityClass>(),
    Root::of::<api::scheduling::v1alpha3::CompositePodGroup>(),
    Root::of::<api::scheduling::v1alpha3::PodGroup>(),
    Root::of::<api::scheduling::v1alpha3::Workload>(),
    Root::of::<api::scheduling::v1beta1::PodGroup>(),
    Root::of::<api::scheduling::v1beta1::Workload>(),
    Root::of::<api::storage::v1::CSIDriver>(),
    Root::of::<api::storage::v1::CSINode>(),
    Root::of::<api::storage::v1::CSIStorageCapacity>(),
    Root::of::<api::storage::v1::StorageClass>(),
    Root::of::<api::storage::v1::VolumeAttachment>(),
    Root::of::<api::storage::v1::VolumeAttributesClass>(),
    Root::of::<api::storagemigration::v1::StorageVersionMigration>(),
    Root::of::<api::storagemigration::v1beta1::StorageVersionMigration>(),
    Root::of::<apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition>(),
    Root::of::<apimachinery::pkg::apis::meta::v1::APIGroup>(),
    Root::of::<apimachinery::pkg::apis::meta::v1::APIGroupList>(),
    Root::of::<apimachinery::pkg::apis::meta::v1::APIResourceList>(),
    Root::of::<apimachinery::pkg::apis::meta::v1::APIVersions>(),
    Root::of::<apimachinery::pkg::apis::meta::v1::DeleteOptions>(),
    Root::of::<apimachinery::pkg::apis::meta::v1::ObjectMeta>(),
    Root::of::<apimachinery::pkg::apis::meta::v1::Patch>(),
    Root::of::<apimachinery::pkg::apis::meta::v1::Status>(),
    Root::of::<apimachinery::pkg::apis::meta::v1::WatchEvent<apimachinery::pkg::runtime::RawExtension>>(),
    Root::of::<apimachinery::pkg::version::Info>(),
    Root::of::<kube_aggregator::pkg::apis::apiregistration::v1::APIService>(),
];
