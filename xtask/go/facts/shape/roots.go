package main

import (
	"reflect"
	"sort"

	admissionv1 "k8s.io/api/admission/v1"
	admissionv1beta1 "k8s.io/api/admission/v1beta1"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	imagepolicyv1alpha1 "k8s.io/api/imagepolicy/v1alpha1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsv1beta1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	policyconfigv1 "k8s.io/apiserver/pkg/admission/plugin/policy/config/apis/policyconfig/v1"
	resourcequotav1 "k8s.io/apiserver/pkg/admission/plugin/resourcequota/apis/resourcequota/v1"
	webhookadmissionv1 "k8s.io/apiserver/pkg/admission/plugin/webhook/config/apis/webhookadmission/v1"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	apiserverv1beta1 "k8s.io/apiserver/pkg/apis/apiserver/v1beta1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	eventratelimitv1alpha1 "k8s.io/kubernetes/plugin/pkg/admission/eventratelimit/apis/eventratelimit/v1alpha1"
	podtolerationrestrictionv1alpha1 "k8s.io/kubernetes/plugin/pkg/admission/podtolerationrestriction/apis/podtolerationrestriction/v1alpha1"
	podsecurityv1 "k8s.io/pod-security-admission/admission/api/v1"
)

const metaPackage = "k8s.io/apimachinery/pkg/apis/meta/v1"

// root is a kind: the Go type that stands for it and the group versions it is registered in.
type root struct {
	typ  reflect.Type
	gvks []schema.GroupVersionKind
}

// roots are all registered kinds, the kinds of meta.k8s.io among them, and what is sent without being registered.
func roots() []root {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientscheme.AddToScheme, apiextensionsv1.AddToScheme, apiregistrationv1.AddToScheme, apidiscoveryv2.AddToScheme,
		admissionv1.AddToScheme, admissionv1beta1.AddToScheme, imagepolicyv1alpha1.AddToScheme, auditv1.AddToScheme, apiserverv1.AddToScheme, metav1.AddMetaToScheme,
		// What admission plugins are configured by; versions before the last have the same form.
		podsecurityv1.AddToScheme, eventratelimitv1alpha1.AddToScheme, podtolerationrestrictionv1alpha1.AddToScheme,
		resourcequotav1.AddToScheme, webhookadmissionv1.AddToScheme, policyconfigv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	byType := map[reflect.Type][]schema.GroupVersionKind{}
	for gvk, typ := range scheme.AllKnownTypes() {
		if gvk.Version == runtime.APIVersionInternal {
			continue
		}
		byType[typ] = append(byType[typ], gvk)
	}
	var all []root
	for typ, gvks := range byType {
		sort.Slice(gvks, func(i, j int) bool { return gvks[i].String() < gvks[j].String() })
		if typ.PkgPath() == metaPackage {
			// Options, Status and WatchEvent are registered in every group version: said once here.
			version := "v1"
			group := "meta.k8s.io"
			if scheme.Recognizes(schema.GroupVersionKind{Version: version, Kind: typ.Name()}) {
				group = ""
			}
			gvks = []schema.GroupVersionKind{{Group: group, Version: version, Kind: typ.Name()}}
		}
		all = append(all, root{typ, gvks})
	}
	// Conversion webhooks may still ask for this version, whose other kinds are gone.
	conversion := apiextensionsv1beta1.SchemeGroupVersion.WithKind("ConversionReview")
	all = append(all, root{reflect.TypeOf(apiextensionsv1beta1.ConversionReview{}), []schema.GroupVersionKind{conversion}})
	// Of the versions before the last, this kind alone is in no later one; v1alpha1 has the same form.
	egress := apiserverv1beta1.SchemeGroupVersion.WithKind("EgressSelectorConfiguration")
	all = append(all, root{reflect.TypeOf(apiserverv1beta1.EgressSelectorConfiguration{}), []schema.GroupVersionKind{egress}})
	all = append(all, root{typ: reflect.TypeOf(version.Info{})})
	sort.Slice(all, func(i, j int) bool { return goName(all[i].typ) < goName(all[j].typ) })
	return all
}

// goName is the type's name with its import path, a total order over all types.
func goName(typ reflect.Type) string { return typ.PkgPath() + "." + typ.Name() }
