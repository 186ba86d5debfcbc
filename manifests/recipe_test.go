package manifests

import (
	"os"
	"strings"
	"testing"
)

const smallRecipe = "product: edge\nsources:\n  - tar: root.tar\n"

func TestARecipeGetsItsDefaults(t *testing.T) {
	r, err := ParseRecipe("recipe.yaml", []byte(smallRecipe+"update: {repository: 'https://os.example.org', root: root.json}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Seed != "edge" || len(r.Arch) != 1 || r.Arch[0] != AMD64 || r.Platform != "uefi-generic" || r.Etc != EtcOverlay ||
		r.ESP != 256<<20 || r.Var != 1<<30 || r.Update.Channel != "stable" {
		t.Errorf("got %+v", r)
	}
}

func TestEveryFaultOfARecipeIsNamed(t *testing.T) {
	for _, test := range []struct{ name, add, want string }{
		{"size zero", "esp: 0", `r:4:6: esp: size "0": want a whole number above 0`},
		{"size negative", "var: -1M", `r:4:6: var: size "-1M": want a whole number above 0`},
		{"size too large", "slots: {root: 10E}", `r:4:15: slots.root: size "10E"`},
		{"size overflows", "var: 99999999999TiB", `size "99999999999TiB"`},
		{"arch", "arch: [mips]", `r:4:8: arch[0]: architecture "mips": want amd64 or arm64`},
		{"version", "version: ../1", `r:4:10: version: version "../1"`},
		{"var encryption", "varEncryption: luks", `r:4:16: varEncryption: "luks": want none or tpm2`},
		{"encryption without a key", "varEncryption: tpm2", "r:4:16: varEncryption: needs secureBoot.pcrKey"},
		{"room for encryption", "varEncryption: tpm2\nvar: 16MiB\nsecureBoot: {pcrKey: k}", "r:5:6: var of 16MiB: want at least 24MiB, of which encryption takes 16MiB"},
		{"etc", "etc: ram", `r:4:6: etc: "ram": want overlay or transient`},
		{"epoch before FAT", "epoch: 0", "r:4:8: epoch 0: want 315532800 (1980)"},
		{"two kinds in one source", "  - {tar: a, oci: b}", "r:4:5: sources[1]: want exactly one of tar, oci, rpm, deb and dir"},
		{"no kind", "  - {ref: x}", "sources[1]: want exactly one of tar, oci, rpm, deb and dir"},
		{"ref without oci", "  - {tar: a, ref: b}", "sources[1].ref: goes with oci and a path only"},
		{"entries without dir", "  - {tar: a, entries: [{path: x}]}", "sources[1].entries: goes with dir only"},
		{"entry outside", "  - {dir: a, entries: [{path: ../x}]}", `sources[1].entries[0].path: "../x": want a path relative to the folder`},
		{"entry mode", "  - {dir: a, entries: [{path: x, mode: '0999'}]}", `mode "0999": want octal digits`},
		{"entry mode not octal", "  - {dir: a, entries: [{path: x, mode: 640}]}", `mode "640": want octal digits`},
		{"standard input twice", "  - tar: '-'\n  - tar: '-'", "standard input can be read once, and is named 2 times"},
		{"own parameter", "kernel: {commandLine: [proa.roothash=00]}", "a recipe sets proa.watchdog, proa.rootwait and proa.config only"},
		{"configuration over http", "kernel: {commandLine: ['proa.config=http://a/b']}", "want https, or its digest"},
		{"configuration with half a digest", "kernel: {commandLine: ['proa.config=http://a/b', proa.config.sha256=00]}", "want 64 hex digits"},
		{"digest of no configuration", "kernel: {commandLine: [proa.config.sha256=00]}", "which is missing"},
		{"watchdog", "kernel: {commandLine: [proa.watchdog=abc]}", `"proa.watchdog=abc": want 0 to 3600 seconds`},
		{"no reset after a panic", "kernel: {commandLine: [panic=0]}", "a machine that panics must reset"},
		{"writable root", "kernel: {commandLine: [rw]}", `"rw": the build sets it`},
		{"platform", "platform: toaster", `r:4:11: platform: "toaster": want uefi-generic or qemu`},
		{"arch twice", "arch: [amd64, amd64]", "r:4:15: arch[1]: amd64 is there twice"},
		{"esp too small", "esp: 20MiB", "r:4:6: esp of 20MiB: want at least 64MiB"},
		{"var too small", "var: 1", "r:4:6: var of 1: want at least 8MiB"},
		{"slot too large", "slots: {root: 10TiB}", "slots.root of 10TiB: want at most 1TiB"},
		{"repository with a password", "update: {repository: 'http://u:p@x', root: r}", "want a URL without user, query and fragment"},
		{"root parameter", "kernel: {commandLine: [root=/dev/sda1]}", "the root is found by its hash and nothing else"},
		{"two words", "kernel: {commandLine: ['a b']}", `"a b": want one kernel parameter`},
		{"repository", "update: {repository: 'ftp://x', root: r}", `update.repository "ftp://x": want an http or https URL`},
		{"no trust root", "update: {repository: 'https://x'}", "update.root is missing"},
		{"health without an agent", "health: [{unit: sshd.service}]", "r:4:9: health: needs update: without it no agent is in the image"},
		{"health of nothing", "health: [{name: x}]", "r:4:10: health[0]: want exactly one of unit and http"},
		{"health by an unknown rule", "health: [{exec: /bin/true}]", `unknown key "exec" in health[0]: want one of http, limit, name, socket, status, timeout, unit`},
		{"too many checks", "health: [" + strings.Repeat("{unit: a.service},", 65) + "]", "r:4:9: health: 65 checks: want at most 64"},
		{"channel", "update: {repository: 'https://x', root: r, channel: A/B}", `update.channel "A/B": want`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseRecipe("r", []byte(smallRecipe+test.add+"\n"))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error:\n%v\nwant one with:\n%s", err, test.want)
			}
		})
	}
}

func TestTheFirstRecipeOfANewUserIsValid(t *testing.T) {
	data, err := os.ReadFile("../cmd/proa/init.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseRecipe("init.yaml", data); err != nil {
		t.Error(err)
	}
	// With every setting that stands there commented out, too.
	everything := strings.ReplaceAll(string(data), "#-", "")
	if _, err := ParseRecipe("init.yaml", []byte(everything)); err != nil {
		t.Error(err)
	}
}

func TestSizesAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]Size{"4096": 4096, "1KiB": 1 << 10, "64MiB": 64 << 20, "2GiB": 2 << 30, "2G": 2 << 30, "1500MB": 1500e6, "1 GiB": 1 << 30} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, size := range []Size{1, 4095, 1 << 10, 64 << 20, 3 << 30, 1500e6} {
		if got, err := ParseSize(size.String()); err != nil || got != size {
			t.Errorf("%d is written %q, which is read as %d, %v", int64(size), size, got, err)
		}
	}
}

func FuzzParseRecipe(f *testing.F) {
	f.Add([]byte(smallRecipe))
	f.Add([]byte("product: a\narch: [amd64]\nsources: [{dir: x, entries: [{path: a, mode: '0640', owner: 1}]}]\nslots: {root: 1G}\nupdate: {repository: 'http://h', root: r}\nkernel: {commandLine: [a=b], modules: [c]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRecipe("r", data)
		if err == nil && (r.Product == "" || len(r.Sources) == 0 || len(r.Arch) == 0) {
			t.Errorf("accepted without what is required: %+v", r)
		}
	})
}
