package hostconfig

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/hostconfig/doors"
)

func TestCloudConfigMakesWhatCloudInitWould(t *testing.T) {
	t.Parallel()
	const config = `#cloud-config
fqdn: edge-7.example.org
ssh_pwauth: false
groups:
  - team
users:
  - name: ann
    sudo: ["ALL=(ALL) NOPASSWD:ALL", "ALL=(bob) ALL"]
    passwd: $6$abc$def
    lock_passwd: false
  - {name: ann.b, sudo: ALL=(ALL) ALL, lock_passwd: false, passwd: ""}
  - {name: dan, passwd: $6$abc$def}
write_files:
  - {path: /etc/plain, content: "a\n", owner: "ann:team", permissions: '0640'}
  - {path: /etc/b64, content: "YgoK", encoding: b64, permissions: 0600}
  - {path: /var/gz, content: "H4sIAAAAAAAAA8tIzcnJ5wIAIDA6NgYAAAA=", encoding: gz+b64, defer: true}
  - {path: /etc/hosts, content: "10.0.0.1 mine\n", append: true}
  - {path: /etc/motd, content: "replaced\n", owner: root}
  - {path: /etc/systemd/system/edge.service, content: "[Service]\nExecStart=/bin/sh\n[Install]\nWantedBy=multi-user.target\n"}
runcmd:
  - systemctl daemon-reload
  - systemctl enable --now edge
  - [systemctl, mask, ssh.service]
`
	dir := newRoot(t, nil)
	must(t, configure(t, dir, config))
	l := listing(t, dir)
	for name, want := range map[string]string{
		"etc/hostname":                      `-rw-r--r-- 0:0 1 "edge-7\n"`,
		"etc/plain":                         `-rw-r----- 1006:1006 1 "a\n"`,
		"etc/b64":                           `-rw------- 0:0 1 "b\n\n"`,
		"var/gz":                            `-rw-r--r-- 0:0 1 "hello\n"`,
		"etc/hosts":                         `-rw-r--r-- 0:0 1 "127.0.0.1 localhost\n10.0.0.1 mine\n"`,
		"etc/motd":                          `-rw-r--r-- 0:0 1 "replaced\n"`,
		"etc/sudoers.d/90-cloud-init-ann":   `-r--r----- 0:0 1 "# User rules for ann\nann ALL=(ALL) NOPASSWD:ALL\nann ALL=(bob) ALL\n"`,
		"etc/sudoers.d/90-cloud-init-ann_b": `-r--r----- 0:0 1 "# User rules for ann.b\nann.b ALL=(ALL) ALL\n"`,
		"etc/ssh/sshd_config.d/50-cloud-init.conf":                `-rw------- 0:0 1 "PasswordAuthentication no\n"`,
		"etc/systemd/system/ssh.service":                          `Lrwxrwxrwx 0:0 /dev/null`,
		"etc/systemd/system/multi-user.target.wants/edge.service": `Lrwxrwxrwx 0:0 /etc/systemd/system/edge.service`,
	} {
		if l[name] != want {
			t.Errorf("%s: %s, want %s", name, l[name], want)
		}
	}
	for _, want := range []string{`\nann:$6$abc$def:`, `\nann.b:*:`, `\ndan:!$6$abc$def:`} {
		if !strings.Contains(l["etc/shadow"], want) {
			t.Errorf("/etc/shadow has no %s: %s", want, l["etc/shadow"])
		}
	}
}

func TestAVolumesMetaDataNamesTheHost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ user, meta, want string }{
		{"", "instance-id: i\nlocal-hostname: meta\n", "meta"},
		{"#cloud-config\n", `{"instance-id": "i", "local-hostname": "meta"}`, "meta"},
		{"#cloud-config\nhostname: user\n", "local-hostname: meta\n", "user"},
		{ign(""), "local-hostname: meta\n", "meta"},
		{"#cloud-config\n", "instance-id: i\n", "image"},
		{"#cloud-config\n", "public-keys: [x]\n", "public-keys: give keys to a user"},
		{"#cloud-config\n", "network-interfaces: x\n", "network-interfaces: write a .network file"},
		{"#cloud-config\n", "local-hostname: a_b\n", "local-hostname: \"a_b\": want labels"},
		{"#cloud-config\n", "region: x\n", "region: there is no such key"},
	} {
		dir := newRoot(t, nil)
		work, err := prepareFound(open(t, dir), &doors.Found{Door: "volume", Data: []byte(test.user), MetaData: []byte(test.meta)}, nil, today)
		if err == nil {
			must(t, work.Do(open(t, dir)))
			name, err := os.ReadFile(filepath.Join(dir, "etc/hostname"))
			if must(t, err); strings.TrimSpace(string(name)) != test.want {
				t.Errorf("%q, %q: %s, want %s", test.user, test.meta, name, test.want)
			}
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q, %q: %v, want %s", test.user, test.meta, err, test.want)
		}
	}
}

func TestAClockThatWasNeverSetMakesNoPasswordOld(t *testing.T) {
	t.Parallel()
	dir := newRoot(t, nil)
	p, err := Parse("c", []byte("#cloud-config\nusers: [{name: ann}]\n"))
	must(t, err)
	work, err := Prepare(open(t, dir), "c", p, nil, time.Unix(0, 0))
	must(t, err)
	must(t, work.Do(open(t, dir)))
	if got := listing(t, dir)["etc/shadow"]; !strings.Contains(got, `\nann:!::0:99999:7:::\n`) {
		t.Errorf("/etc/shadow: %s", got)
	}
}

// TestTheRecordIsWhatItIsDocumentedToBe holds the names of the fields.
func TestTheRecordIsWhatItIsDocumentedToBe(t *testing.T) {
	t.Parallel()
	kept := int64(3)
	got, err := json.Marshal(Record{Schema: 1, When: time.Unix(0, 0).UTC(), Door: "d", Language: "l", Digest: "s", Release: "r", Files: []RecordedFile{{"p", "s", &kept}}})
	const want = `{"schema":1,"when":"1970-01-01T00:00:00Z","door":"d","language":"l","digest":"s","release":"r","files":[{"path":"p","digest":"s","kept":3}]}`
	if must(t, err); string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
