package debian

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/configure/configuretest"
	"github.com/proa-os/proa/builder/tree"
)

// certificate makes a self-signed one.
func certificate(t *testing.T, subject string, options ...string) string {
	t.Helper()
	dir := t.TempDir()
	out := filepath.Join(dir, "c.pem")
	args := append([]string{"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", filepath.Join(dir, "k"), "-out", out, "-utf8", "-subj", subject, "-multivalue-rdn"}, options...)
	if text, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v: %s", err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestSubjectHashesAreThoseOfOpenSSL(t *testing.T) {
	for _, subject := range []string{
		"/CN=Plain", "/C=DE/O=Example  Two   Blanks/CN= MiXed Case ", "/CN=Főtanúsítvány ÄÖ/emailAddress=Admin@Example.COM", "/O=A+OU=B+OU=a/CN=set", "/CN=*?~",
	} {
		data := certificate(t, subject)
		file := filepath.Join(t.TempDir(), "c.pem")
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		want, err := exec.Command("openssl", "x509", "-in", file, "-noout", "-subject_hash").Output()
		if err != nil {
			t.Fatal(err)
		}
		got, err := subjectHash([]byte(data))
		if err != nil || got != strings.TrimSpace(string(want)) {
			t.Errorf("%s: %s, %v: want %s", subject, got, err, want)
		}
	}
}

func TestCertificatesOfTheImageAreTrustedToo(t *testing.T) {
	one, two, own := certificate(t, "/CN=one"), certificate(t, "/CN=one"), certificate(t, "/CN=own")
	into := configuretest.Tree(t, map[string]string{
		"usr/share/ca-certificates/a/One (1).crt": strings.TrimSuffix(one, "\n"), "usr/share/ca-certificates/a/two.crt": two,
		"usr/share/ca-certificates/off.crt": two, "usr/share/ca-certificates/README": "no",
		"etc/ca-certificates.conf":                   "# head\na/One (1).crt\na/two.crt\n!off.crt\nabsent.crt\n",
		"usr/local/share/ca-certificates/own/it.crt": own,
	})
	if err := certificates(into, "test"); err != nil {
		t.Fatal(err)
	}
	bundle, err := into.ReadFile("etc/ssl/certs/ca-certificates.crt", 1<<20)
	if err != nil || string(bundle) != one+two+own {
		t.Errorf("bundle of %d bytes, %v", len(bundle), err)
	}
	hash, err := subjectHash([]byte(one))
	if err != nil {
		t.Fatal(err)
	}
	for link, want := range map[string]string{"One_=1=.pem": "/usr/share/ca-certificates/a/One (1).crt", hash + ".0": "One_=1=.pem", hash + ".1": "two.pem", "it.pem": "/usr/local/share/ca-certificates/own/it.crt"} {
		if n, ok := into.Lookup("etc/ssl/certs/" + link); !ok || n.Target != want {
			t.Errorf("%s: %+v: want %s", link, n, want)
		}
	}
	if _, ok := into.Lookup("etc/ssl/certs/off.pem"); ok {
		t.Error("a certificate that is switched off is trusted")
	}
	if err := certificates(configuretest.Tree(t, map[string]string{"usr/share/ca-certificates/x.crt": "no certificate"}), "test"); err == nil || !strings.Contains(err.Error(), "x.crt") {
		t.Errorf("got %v", err)
	}
}

func TestTooManyCertificatesAreRefused(t *testing.T) {
	into := tree.New()
	for i := range maxCertificates + 1 {
		if err := into.Put(fmt.Sprintf("%s/%d.crt", localFolder, i), &tree.Node{Source: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := certificates(into, "test"); err == nil || !strings.Contains(err.Error(), "want at most") {
		t.Errorf("error %v", err)
	}
}

func TestWhatTheImageHasStays(t *testing.T) {
	files := map[string]string{
		"etc/passwd": "mine", "etc/ssh/sshd_config": "mine", "etc/pam.d/common-auth": "mine", "etc/timezone": "Europe/Berlin\n",
		"usr/share/base-passwd/passwd.master": "theirs", "usr/share/openssh/sshd_config": "theirs", "usr/share/pam-configs/unix": "Name: x\nDefault: yes\nPriority: 1\n",
	}
	for _, s := range stacks {
		files["usr/share/pam/common-"+s.name] = "template\n"
	}
	into := configuretest.Tree(t, files)
	if err := Accounts(into, "test"); err != nil {
		t.Fatal(err)
	}
	if _, err := SetUp(into, func(string) bool { return true }, "test"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"etc/passwd", "etc/ssh/sshd_config", "etc/pam.d/common-auth", "etc/timezone"} {
		if got, err := into.ReadFile(path, 1<<20); err != nil || string(got) != files[path] {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}

func TestProfilesOfPAMAreStackedByPriority(t *testing.T) {
	into := configuretest.Tree(t, map[string]string{
		"usr/share/pam-configs/low":  "Name: low\nDefault: yes\nPriority: 10\nAuth-Type: Primary\nAuth:\n\t[success=end default=ignore]\tpam_low.so use_first\nAuth-Initial:\n\t[success=end default=ignore]\tpam_low.so\n",
		"usr/share/pam-configs/high": "Name: high\nDefault: yes\nPriority: 20\nConflicts: never\nAuth-Type: Primary\nAuth:\n\t[success=end default=ignore]\tpam_high.so first\n\t[success=end default=ignore]\tpam_high.so second\n",
		"usr/share/pam-configs/off":  "Name: off\nDefault: no\nPriority: 30\nAuth-Type: Primary\nAuth:\n\trequired pam_off.so\n",
		"usr/share/pam-configs/not":  "Name: not\nDefault: yes\nPriority: 1\nConflicts: high\nAuth-Type: Primary\nAuth:\n\trequired pam_not.so\n",
		"usr/share/pam/common-auth":  primaryStart + "\n$auth_primary\n" + primaryEnd + "\n", "usr/share/pam/common-account": "", "usr/share/pam/common-password": "", "usr/share/pam/common-session": "", "usr/share/pam/common-session-noninteractive": "",
	})
	if err := pam(into, "test"); err != nil {
		t.Fatal(err)
	}
	want := primaryStart + "\nauth\t[success=3 default=ignore]\tpam_high.so first\nauth\t[success=2 default=ignore]\tpam_high.so second\nauth\t[success=1 default=ignore]\tpam_low.so use_first\n" + primaryEnd + "\n"
	if got, err := into.ReadFile("etc/pam.d/common-auth", 1<<20); err != nil || string(got) != want {
		t.Errorf("%q, %v: want %q", got, err, want)
	}
}

func FuzzDebian(f *testing.F) {
	f.Add("Name: low\nDefault: yes\nPriority: 10\nAuth-Type: Primary\nAuth:\n\t[success=end default=ignore]\tpam_low.so\n", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
	f.Fuzz(func(t *testing.T, profile, certificate string) {
		into := configuretest.Tree(t, map[string]string{
			"usr/share/pam-configs/p": profile, "usr/share/ca-certificates/c.crt": certificate, "usr/share/debianutils/shells": profile, "etc/ca-certificates.conf": profile + "\nc.crt\n",
			"usr/share/pam/common-auth": profile,
		})
		_, _ = SetUp(into, func(string) bool { return true }, "test")
		_ = certificates(into, "test")
		if err := into.Walk(func(at string, n *tree.Node) error { _, err := tree.Clean(at); return err }); err != nil {
			t.Error(err)
		}
	})
}
