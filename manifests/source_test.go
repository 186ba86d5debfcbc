package manifests

import (
	"strings"
	"testing"
)

func TestARegistryIsToldFromAPath(t *testing.T) {
	for reference, want := range map[string]bool{
		"ghcr.io/example/base:12":            true,
		"ghcr.io/base@sha256:" + hex64:       true,
		"localhost/base":                     true,
		"localhost:5000/base":                true,
		"registry:5000/a/b:v1":               true,
		"127.0.0.1:5000/base":                true,
		"[::1]:5000/base":                    true,
		"base":                               false,
		"base.tar":                           false,
		"images/base.tar":                    false,
		"./ghcr.io/base":                     false,
		"../x.y/base":                        false,
		"/srv/images.d/base":                 false,
		"images_1.d/base":                    false,
		"-x.y/":                              false,
		strings.Repeat("a", 100) + "/layout": false,
	} {
		if got := (Source{OCI: reference}).InRegistry(); got != want {
			t.Errorf("%s in a registry: %v, want %v", reference, got, want)
		}
	}
}

func TestEveryFaultOfAPackageSourceIsNamed(t *testing.T) {
	const deb = "deb: {repositories: [{url: http://deb.example, suites: [s], signedBy: [k]}], packages: [a]}"
	const rpm = "rpm: {repositories: [{url: http://rpm.example/$arch, gpgkey: [k]}], packages: [a]}"
	parse := func(source string) error {
		_, err := ParseRecipe("r", []byte("product: p\nsources:\n  - "+source+"\n"))
		return err
	}
	for _, good := range []string{deb, rpm, "deb: {packages: [./a.deb]}", "rpm: {packages: [/a.rpm], scripts: sandbox}", "{oci: ghcr.io/a/b, cosign: k.pub}", strings.Replace(rpm, "gpgkey: [k]", "gpgkey: [k], priority: 1", 1)} {
		if err := parse(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, test := range []struct{ good, old, new, want string }{
		{deb, "packages: [a]", "packages: []", "sources[0].deb.packages: want at least one"},
		{deb, "packages: [a]", "packages: [' a']", `sources[0].deb.packages[0]: " a": want the name`},
		{deb, "packages: [a]", "packages: [a], exclude: ['']", `sources[0].deb.exclude[0]: "": want the name`},
		{deb, "suites: [s]", "suites: []", "suites is missing"},
		{deb, "suites: [s]", "suites: [../s]", `suite or component "../s"`},
		{deb, "suites: [s]", "suites: [s], components: ['a b']", `suite or component "a b"`},
		{deb, "signedBy: [k]", "signedBy: []", "signedBy is missing"},
		{deb, "http://deb.example", "ftp://deb.example", "want an http or https URL"},
		{deb, "http://deb.example", "http://me:secret@deb.example", "without user"},
		{deb, "repositories: [{url: http://deb.example, suites: [s], signedBy: [k]}], ", "", "there are no repositories"},
		{deb, "packages: [a]", "packages: [a], scripts: run", "want report or sandbox"},
		{rpm, "gpgkey: [k]", "gpgkey: []", "gpgkey is missing"},
		{rpm, "gpgkey: [k]", "gpgkey: [k], priority: 0", "sources[0].rpm.repositories[0].priority: 0: want 1 to 999"},
		{rpm, "gpgkey: [k]", "gpgkey: [k], priority: -5", "priority: -5: want 1 to 999"},
		{rpm, "gpgkey: [k]", "gpgkey: [k], priority: 1000", "priority: 1000: want 1 to 999"},
		{rpm, "http://rpm.example/$arch", "rpm.example", "want an http or https URL"},
		{rpm, "packages: [a]", "packages: [a], colour: red", "unknown key"},
		{"{oci: ghcr.io/a/b, cosign: k.pub}", "ghcr.io/a/b", "layout", "cosign: goes with oci and a registry only"},
		{"{oci: ghcr.io/a/b, cosign: k.pub}", "cosign: k.pub", "ref: v1", "ref: goes with oci and a path only"},
	} {
		source := strings.Replace(test.good, test.old, test.new, 1)
		if err := parse(source); source == test.good || err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", source, err, test.want)
		}
	}
}
