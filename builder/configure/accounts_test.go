package configure

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/proa-os/proa/builder/configure/configuretest"
	"github.com/proa-os/proa/builder/packages"
)

// accountCommands are run one after another, each on what the ones before left.
var accountCommands = []string{
	"groupadd -r one", "groupadd -r -g 77 fixed", "groupadd --system two",
	"useradd -r plain", "useradd -r -u 88 -g fixed -d /srv/x -s /sbin/nologin -c comment with-group",
	"useradd --system --no-create-home --home-dir /nowhere --shell /bin/false -G one,two members",
	"useradd -rMN -g one short", "usermod -a -G fixed,one plain", "groupadd -r plain2", "useradd -r plain2 -g plain2",
	"usermod -aG two with-group",
}

func TestTheSameAccountsAsUseradd(t *testing.T) {
	files := map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nold:x:997:997::/:/bin/sh\n", "etc/group": "root:x:0:\nold:x:997:\nusers:x:100:\n",
		"etc/shadow": "root:*:20454:0:99999:7:::\nold:!:20454::::::\n", "etc/gshadow": "root:*::\nold:!::\nusers:*::\n",
	}
	ours := configuretest.Tree(t, files)
	dir := configuretest.Folder(t, ours)
	for _, command := range accountCommands {
		words := strings.Fields(command)
		words = append([]string{"/usr/sbin/" + words[0], "--prefix", dir}, words[1:]...)
		if os.Geteuid() != 0 {
			words = append([]string{"unshare", "--map-root-user"}, words...)
		}
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1767225600")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
	}
	about := packages.About{Format: packages.RPM, Name: "p", Scripts: []packages.Script{{When: "%pre", Interpreter: "/bin/sh", Text: strings.Join(accountCommands, "\n")}}}
	c := Config{Packages: []packages.About{about}, Source: "test", Epoch: 1767225600}
	if _, err := Users(t.Context(), ours, c); err != nil {
		t.Fatal(err)
	}
	report, err := Run(t.Context(), ours, c)
	if err != nil || len(report.Uncovered()) > 0 {
		t.Fatalf("%s, %v", report, err)
	}
	theirs := configuretest.Read(t, dir)
	for path := range files {
		got, err := ours.ReadFile(path, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		want, err := theirs.ReadFile(path, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s:\n%swant\n%s", path, got, want)
		}
	}
}

// adduser of Debian gives the lowest free ids, and nogroup where no group is
// asked for.
func TestAdduserMakesSystemUsers(t *testing.T) {
	ours := configuretest.Tree(t, map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\nusers:x:100:\nnogroup:x:65534:\nadm:x:4:\n",
	})
	text := `
adduser --system --quiet alone
adduser --system --group --home /var/lib/both --gecos "Both of them" both
adduser --system --ingroup adm --no-create-home --home /var/lib/none --shell /bin/sh ingroup
adduser --system --uid 321 --disabled-password --disabled-login fixed
addgroup --system --force-badname _group
adduser both adm
addgroup both _group
adduser --quiet both absent
adduser someone
`
	about := packages.About{Format: packages.Deb, Name: "p", Version: "1", Scripts: []packages.Script{{When: "postinst", Interpreter: "/bin/sh", Text: text}}}
	c := Config{Packages: []packages.About{about}, Source: "test", Epoch: 1767225600}
	if _, err := Users(t.Context(), ours, c); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"etc/passwd":  "root:x:0:0:root:/root:/bin/sh\nalone:x:100:65534::/nonexistent:/usr/sbin/nologin\nboth:x:101:101:Both of them:/var/lib/both:/usr/sbin/nologin\ningroup:x:102:4::/var/lib/none:/bin/sh\nfixed:x:321:65534::/nonexistent:/usr/sbin/nologin\n",
		"etc/group":   "root:x:0:\nusers:x:100:\nnogroup:x:65534:\nadm:x:4:both\nboth:x:101:\n_group:x:102:both\n",
		"etc/shadow":  "alone:!:20454::::::\nboth:!:20454::::::\ningroup:!:20454::::::\nfixed:!:20454::::::\n",
		"etc/gshadow": "both:!::\n_group:!::both\n",
	} {
		if got, err := ours.ReadFile(path, 1<<20); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v: want %q", path, got, err, want)
		}
	}
	if n, ok := ours.Lookup("var/lib/both"); !ok || n.UID != 101 || n.GID != 101 || n.Mode != 0o755 {
		t.Errorf("home %+v", n)
	}
	if _, ok := ours.Lookup("var/lib/none"); ok {
		t.Error("a home that is not wanted")
	}
	report, err := Run(t.Context(), ours, c)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(report.Uncovered()[0].NotDone); n != 2 {
		t.Errorf("%s", report)
	}
}
