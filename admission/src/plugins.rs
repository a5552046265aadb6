//! Every plugin, one file each, and the order in which they run.
//!
//! Upstream: pkg/kubeapiserver/options/plugins.go AllOrderedPlugins, DefaultOffAdmissionPlugins.
