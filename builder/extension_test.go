package builder

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/proa-os/proa/builder/examine"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing"
)

// extensionConfig is the build of an extension from the folder "tree".
func extensionConfig(t *testing.T, name, more string) Config {
	t.Helper()
	text := []byte("product: " + name + "\nsources: [{dir: tree}]\n" + more)
	r, err := manifests.ParseExtensionRecipe("recipe.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Recipe: r, RecipeText: text, Folder: t.TempDir(), Output: filepath.Join(t.TempDir(), "out"),
		Version: "1.0.0", Arch: manifests.AMD64, Epoch: manifests.DefaultEpoch,
	}
}

const fitsTest = "fits: {id: test, versionId: \"7\"}\n"

// buildSysext is an extension with one file, and its folder.
func buildSysext(t *testing.T, name, more string) (manifests.BuiltExtension, Config) {
	t.Helper()
	c := extensionConfig(t, name, more)
	put(t, c, "tree/usr/share/"+name, "hello from "+name+"\n", 0o644)
	built, err := BuildExtension(t.Context(), manifests.Sysext, c)
	if err != nil {
		t.Fatal(err)
	}
	return built, c
}

func TestAnExtensionSatisfiesTheReferenceTools(t *testing.T) {
	built, c := buildSysext(t, "debug", fitsTest)
	image := filepath.Join(c.Output, "debug.sysext.raw")
	// systemd takes the extension's name from the file's.
	named := filepath.Join(t.TempDir(), "debug.raw")
	if err := os.Symlink(image, named); err != nil {
		t.Fatal(err)
	}
	var found struct {
		Release []string `json:"extensionRelease"`
		System  bool     `json:"useSystemExtension"`
		Mounts  []struct{ Designator, Verity string }
	}
	out := run(t, "systemd-dissect", "--json=short", "--no-pager", "--root-hash="+built.RootHash.String(), named)
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !found.System || strings.Join(found.Release, " ") != "ID=test VERSION_ID=7 ARCHITECTURE=x86-64" || len(found.Mounts) != 2 || found.Mounts[0].Verity != "yes" {
		t.Errorf("systemd-dissect finds %s", out)
	}
	if out := run(t, "sgdisk", "-v", image); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v:\n%s", out)
	}
	if checks, err := examine.Verify(t.Context(), c.Output, nil); err != nil {
		t.Errorf("verify: %v: %+v", err, checks)
	}
	text, err := os.ReadFile(filepath.Join(c.Output, manifests.SBOMFile))
	if err != nil || !strings.Contains(string(text), "usr/share/debug") {
		t.Errorf("the bill of materials does not name its file: %v", err)
	}
	text, err = os.ReadFile(filepath.Join(c.Output, manifests.ProvenanceFile))
	if err != nil || len(text) == 0 {
		t.Errorf("provenance: %v", err)
	}
	entries, err := os.ReadDir(c.Output)
	if err != nil || len(entries) != 4 {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
}

func TestTheSameInputsGiveTheSameExtension(t *testing.T) {
	_, first := buildSysext(t, "debug", fitsTest)
	_, second := buildSysext(t, "debug", fitsTest)
	for _, name := range []string{"debug.sysext.raw", manifests.ExtensionFile, manifests.SBOMFile, manifests.ProvenanceFile} {
		run(t, "cmp", filepath.Join(first.Output, name), filepath.Join(second.Output, name))
	}
}

func TestAnExtensionIsReplacedByForceAlone(t *testing.T) {
	_, c := buildSysext(t, "debug", fitsTest)
	if _, err := BuildExtension(t.Context(), manifests.Sysext, c); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("a second build: %v", err)
	}
	c.Replace = true
	if _, err := BuildExtension(t.Context(), manifests.Sysext, c); err != nil {
		t.Error(err)
	}
}

// TestAnExtensionIsRefused has what systemd would refuse, pass over in silence, or
// take for another system.
func TestAnExtensionIsRefused(t *testing.T) {
	const release = "usr/lib/extension-release.d/extension-release."
	for _, test := range []struct {
		name  string
		kind  manifests.ExtensionKind
		fits  string
		files map[string]string
		want  string
	}{
		{"etc in a sysext", manifests.Sysext, fitsTest, map[string]string{"etc/x": "", "usr/x": "", "var/x": ""}, "etc and 3 more: a sysext holds the folders opt and usr and nothing else"},
		{"usr in a confext", manifests.Confext, fitsTest, map[string]string{"etc/x": "", "usr/x": ""}, "usr and 1 more: a confext holds the folders etc and nothing else"},
		{"nothing", manifests.Sysext, fitsTest, map[string]string{"usr/": ""}, "the sources have nothing in opt and usr"},
		{"another system", manifests.Sysext, fitsTest, map[string]string{"usr/lib/os-release": "ID=other\n"}, "usr/lib/os-release: systemd refuses"},
		{"another release", manifests.Sysext, fitsTest, map[string]string{manifests.ImagePath: "{}"}, "it belongs to the release"},
		{"another agent", manifests.Sysext, fitsTest, map[string]string{manifests.AgentPath: ""}, "it belongs to the release"},
		{"file for a folder", manifests.Sysext, fitsTest, map[string]string{"usr/lib/proa": ""}, "in the place of a folder"},
		{"file for a folder of checks", manifests.Sysext, fitsTest, map[string]string{"usr/lib/proa/health.d": ""}, "in the place of a folder"},
		{"file for all programs", manifests.Sysext, fitsTest, map[string]string{"usr/bin": ""}, "in the place of a folder"},
		{"fits nothing", manifests.Sysext, "", map[string]string{"usr/x": ""}, "say which images the extension fits"},
		{"file of another", manifests.Sysext, fitsTest, map[string]string{release + "other": "ID=_any\n"}, "the extension is debug"},
		{"file says otherwise", manifests.Sysext, fitsTest, map[string]string{release + "debug": "ID=test\nVERSION_ID=8\n"}, "the recipe says"},
		{"file says nothing", manifests.Sysext, "", map[string]string{release + "debug": "NAME=x\n"}, "no id"},
		{"other architecture", manifests.Sysext, "", map[string]string{release + "debug": "ID=_any\nARCHITECTURE=arm64\n"}, "ARCHITECTURE arm64: want x86-64"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := extensionConfig(t, "debug", test.fits)
			for name, text := range test.files {
				if strings.HasSuffix(name, "/") {
					if err := os.MkdirAll(filepath.Join(c.Folder, "tree", name), 0o755); err != nil {
						t.Fatal(err)
					}
					continue
				}
				put(t, c, "tree/"+name, text, 0o644)
			}
			if _, err := BuildExtension(t.Context(), test.kind, c); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v: want %q", err, test.want)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(c.Output), "*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestAnExtensionMayBringHealthChecksAndSayItselfWhatItFits(t *testing.T) {
	c := extensionConfig(t, "site", "")
	put(t, c, "tree/usr/lib/proa/health.d/50-site", "#!/bin/sh\n", 0o755)
	put(t, c, "tree/usr/lib/extension-release.d/extension-release.site", "ID=\"test\"\nSYSEXT_LEVEL=2\n", 0o644)
	built, err := BuildExtension(t.Context(), manifests.Sysext, c)
	if err != nil || built.Fits != (manifests.Fits{ID: "test", Level: "2"}) {
		t.Errorf("%+v, %v", built.Fits, err)
	}
}

// trustRoot is a root.json that hosts could trust.
func trustRoot(t *testing.T) []byte {
	t.Helper()
	folder := t.TempDir()
	for _, role := range signing.Roles() {
		if _, err := signing.CreateKeyFile(filepath.Join(folder, signing.KeyFileName(role, 1))); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := signing.LoadKeys(folder)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := signing.NewMetadata(keys, 1)
	if err != nil {
		t.Fatal(err)
	}
	files, err := meta.Sign(time.Now(), signing.DefaultLifetimes(), keys)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if file.Name == "1.root.json" {
			return file.Content
		}
	}
	t.Fatal("no root.json")
	return nil
}

// withExtensions is a system that has systemd-sysext, and extensions.
func withExtensions(t *testing.T, files map[string]string, folders ...string) Config {
	t.Helper()
	list, err := json.Marshal(folders)
	if err != nil {
		t.Fatal(err)
	}
	c := config(t, fmt.Sprintf("  - dir: overlay\nupdate: {repository: 'https://os.example.org', root: root.json}\nextensions: %s\n", list))
	put(t, c, "root.json", string(trustRoot(t)), 0o644)
	for name, text := range files {
		put(t, c, "overlay/"+name, text, 0o755)
	}
	c.Agent = &Agent{Program: []byte("agent"), ExtensionLinks: map[string]string{"sysinit.target.wants/x.service": "../x.service"}}
	return c
}

var hasSysext = map[string]string{
	"usr/lib/os-release":     "ID=test\nVERSION_ID=\"7\"\n",
	"usr/bin/systemd-sysext": "", "usr/lib/systemd/system/systemd-sysext.service": "", "usr/lib64/libcryptsetup.so.12": "",
	"usr/lib/systemd/libsystemd-shared-252.so": "",
}

func TestTheRootHashOfAReleaseCoversThoseOfItsExtensions(t *testing.T) {
	debug, of := buildSysext(t, "debug", fitsTest)
	any, ofAny := buildSysext(t, "any", "fits: {id: _any}\n")
	c := withExtensions(t, hasSysext, of.Output, ofAny.Output)
	release, err := Build(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(c.Output, manifests.ExtensionsFile))
	if err != nil {
		t.Fatal(err)
	}
	list, err := manifests.ParseExtensions(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Extensions) != 2 || fmt.Sprint(list.Extensions[1]) != fmt.Sprint(debug.Extension) || fmt.Sprint(list.Extensions[0]) != fmt.Sprint(any.Extension) {
		t.Errorf("the list has %+v", list.Extensions)
	}
	if err := list.CheckAgainst(release); err != nil {
		t.Error(err)
	}
	for from, to := range map[string]string{"debug.sysext.raw": "debug.sysext.raw", manifests.SBOMFile: "debug.sysext.spdx.json"} {
		run(t, "cmp", filepath.Join(of.Output, from), filepath.Join(c.Output, to))
		if _, ok := release.Artifact(to); !ok {
			t.Errorf("the release does not list %s", to)
		}
	}
	root := filepath.Join(t.TempDir(), "root")
	run(t, "fsck.erofs", "--extract="+root, filepath.Join(c.Output, manifests.RootFile))
	if inside, err := os.ReadFile(filepath.Join(root, manifests.ExtensionsPath)); err != nil || string(inside) != string(text) {
		t.Errorf("the image has another list: %v", err)
	}
	if link, err := os.Readlink(filepath.Join(root, "usr/lib/systemd/system/sysinit.target.wants/x.service")); err != nil || link != "../x.service" {
		t.Errorf("the unit that attaches them: %s, %v", link, err)
	}
	if checks, err := examine.Verify(t.Context(), c.Output, nil); err != nil {
		t.Errorf("verify: %v: %+v", err, checks)
	}
	provenance, err := os.ReadFile(filepath.Join(c.Output, manifests.ProvenanceFile))
	if err != nil || len(provenance) == 0 {
		t.Errorf("provenance: %v", err)
	}
	c.Replace = true
	if _, err := Build(t.Context(), c); err != nil {
		t.Errorf("building it in its own place: %v", err)
	}
}

func TestAnExtensionThatTheSystemCannotAttachIsRefused(t *testing.T) {
	debug, of := buildSysext(t, "debug", fitsTest)
	_, same := buildSysext(t, "debug", fitsTest)
	_, level := buildSysext(t, "level", "fits: {id: test, level: \"3\"}\n")
	confext := extensionConfig(t, "site", "fits: {id: _any}\n")
	put(t, confext, "tree/etc/site", "x", 0o644)
	if _, err := BuildExtension(t.Context(), manifests.Confext, confext); err != nil {
		t.Fatal(err)
	}
	_, damaged := buildSysext(t, "debug", fitsTest)
	image, err := os.OpenFile(filepath.Join(damaged.Output, debug.Image()), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := image.WriteAt([]byte{1}, 21<<10); err != nil {
		t.Fatal(err)
	}
	image.Close()
	// Its digest is right, and its root hash is not.
	_, forged := buildSysext(t, "debug", fitsTest)
	path := filepath.Join(forged.Output, manifests.ExtensionFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := append(manifests.HexBytes{}, debug.RootHash...)
	other[0]++
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), debug.RootHash.String(), other.String(), 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	with := func(name, text string) map[string]string {
		files := map[string]string{}
		for name, text := range hasSysext {
			files[name] = text
		}
		if text == "-" {
			delete(files, name)
		} else {
			files[name] = text
		}
		return files
	}
	const osRelease = "usr/lib/os-release"
	for _, test := range []struct {
		name    string
		files   map[string]string
		folders []string
		want    string
	}{
		{"other id", with(osRelease, "ID=other\nVERSION_ID=7\n"), []string{of.Output}, "it fits ID=test: the image's os-release has ID=other"},
		{"other version", with(osRelease, "ID=test\nVERSION_ID=8\n"), []string{of.Output}, "it fits VERSION_ID=7: the image's os-release has VERSION_ID=8"},
		{"other level", with(osRelease, "ID=test\nVERSION_ID=7\nSYSEXT_LEVEL=2\n"), []string{level.Output}, "it fits SYSEXT_LEVEL=3: the image's os-release has SYSEXT_LEVEL=2"},
		{"no program", with("usr/bin/systemd-sysext", "-"), []string{of.Output}, "the image has systemd 252 without /usr/bin/systemd-sysext, which is there since systemd 248"},
		{"no library", with("usr/lib64/libcryptsetup.so.12", "-"), []string{of.Output}, "it is attached by dm-verity, and the image has no libcryptsetup.so.12"},
		{"no unit", with("usr/lib/systemd/system/systemd-sysext.service", "-"), []string{of.Output}, "without /usr/lib/systemd/system/systemd-sysext.service"},
		{"confext for an old systemd", hasSysext, []string{confext.Output}, "it is a confext, and the image has systemd 252 without /usr/bin/systemd-confext, which is there since systemd 254"},
		{"twice", hasSysext, []string{of.Output, same.Output}, "extensions[1]: the name debug is that of a sysext already"},
		{"damaged", hasSysext, []string{damaged.Output}, "extension.json says"},
		{"forged", hasSysext, []string{forged.Output}, "no partition"},
		{"not there", hasSysext, []string{"nowhere"}, "extensions[0]: open "},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := withExtensions(t, test.files, test.folders...)
			if _, err := Build(t.Context(), c); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v: want %q", err, test.want)
			}
		})
	}
}
