package envtest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// limit is how long any one thing may take on a machine that stalls at times.
const limit = 90 * time.Second

// What all tests share, as suites have it.
var (
	environment *envtest.Environment
	config      *rest.Config
	kube        client.WithWatch
	working     *operator
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	code, err := within(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func within(m *testing.M) (code int, err error) {
	if err := addToScheme(scheme.Scheme); err != nil {
		return 1, err
	}
	environment = &envtest.Environment{
		CRDDirectoryPaths:     []string{"crd"},
		ErrorIfCRDPathMissing: true,
		WebhookInstallOptions: envtest.WebhookInstallOptions{
			ValidatingWebhooks: []*admissionv1.ValidatingWebhookConfiguration{thirteen()},
		},
		ControlPlaneStartTimeout: limit,
		ControlPlaneStopTimeout:  limit,
		AttachControlPlaneOutput: os.Getenv("SHOW") != "",
	}
	begun := time.Now()
	if config, err = environment.Start(); err != nil {
		return 1, fmt.Errorf("start: %w", err)
	}
	fmt.Printf("envtest: started in %d ms\n", time.Since(begun).Milliseconds())
	defer func() {
		begun := time.Now()
		if stopped := environment.Stop(); stopped != nil && err == nil {
			err = fmt.Errorf("stop: %w", stopped)
		}
		fmt.Printf("envtest: stopped in %d ms\n", time.Since(begun).Milliseconds())
	}()
	if kube, err = client.NewWithWatch(config, client.Options{}); err != nil {
		return 1, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended, err := operate(ctx)
	if err != nil {
		cancel()
		return 1, err
	}
	code = m.Run()
	cancel()
	return code, <-ended
}

// operate runs the operator and its webhook in this process until the context ends.
func operate(ctx context.Context) (<-chan error, error) {
	hooks := environment.WebhookInstallOptions
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Metrics: server.Options{BindAddress: "0"},
		WebhookServer: webhook.NewServer(webhook.Options{
			Host: hooks.LocalServingHost, Port: hooks.LocalServingPort, CertDir: hooks.LocalServingCertDir,
		}),
	})
	if err != nil {
		return nil, err
	}
	working = &operator{Client: manager.GetClient(), outside: map[string]int{}}
	controller := ctrl.NewControllerManagedBy(manager).For(&Widget{}).Owns(&corev1.ConfigMap{})
	if err := controller.Complete(working); err != nil {
		return nil, err
	}
	manager.GetWebhookServer().Register("/widgets", &webhook.Admission{Handler: superstitious{admission.NewDecoder(scheme.Scheme)}})
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()
	// Writes are refused until the webhook listens.
	check := manager.GetWebhookServer().StartedChecker()
	for check(&http.Request{}) != nil {
		select {
		case err := <-ended:
			return nil, fmt.Errorf("the operator ended: %w", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return ended, nil
}

// superstitious refuses Widgets of size 13.
type superstitious struct{ admission.Decoder }

func (s superstitious) Handle(_ context.Context, request admission.Request) admission.Response {
	var widget Widget
	if err := s.Decode(request, &widget); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	if widget.Spec.Size == 13 {
		return admission.Denied("13 brings bad luck")
	}
	return admission.Allowed("")
}

// thirteen is the webhook's configuration; envtest puts its address and authority in.
func thirteen() *admissionv1.ValidatingWebhookConfiguration {
	path, none := "/widgets", admissionv1.SideEffectClassNone
	return &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "widgets"},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name:                    "widgets.skiff.test",
			AdmissionReviewVersions: []string{"v1"},
			SideEffects:             &none,
			ClientConfig: admissionv1.WebhookClientConfig{
				Service: &admissionv1.ServiceReference{Namespace: "default", Name: "widgets", Path: &path},
			},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
				Rule: admissionv1.Rule{
					APIGroups: []string{groupVersion.Group}, APIVersions: []string{"v1"}, Resources: []string{"widgets"},
				},
			}},
		}},
	}
}

// namespace makes one for a test.
func namespace(t *testing.T) (context.Context, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	made := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	must(t, kube.Create(ctx, made))
	return ctx, made.Name
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, found, wanted T, what string) {
	t.Helper()
	if found != wanted {
		t.Fatalf("%s: found %v, wanted %v", what, found, wanted)
	}
}

// until watches Widgets of a namespace, from the beginning, until one event is as it should be.
func until(ctx context.Context, t *testing.T, namespace string, fits func(event string, widget *Widget) bool) *Widget {
	t.Helper()
	events, err := kube.Watch(ctx, &WidgetList{}, client.InNamespace(namespace))
	must(t, err)
	defer events.Stop()
	for event := range events.ResultChan() {
		if widget, ok := event.Object.(*Widget); ok && fits(string(event.Type), widget) {
			return widget
		}
	}
	t.Fatal("the watch ended")
	return nil
}

func ready(_ string, widget *Widget) bool {
	return widget.Status.Phase == "Ready" && widget.Status.ObservedGeneration == widget.Generation
}

func widget(namespace, name string, size int) *Widget {
	return &Widget{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: WidgetSpec{Size: size}}
}

var _ runtime.Object = &Widget{}
