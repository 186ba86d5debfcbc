package main

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/proa-os/proa/bench/workbench"
)

// What the generated repository has: two versions of each name, and how many
// packages the lock must have in the end.
const (
	repositoryNames = 25_000
	chosenLeast     = 1_000
)

// solving locks a recipe whose packages come from a large RPM repository.
func (b *bench) solving(ctx context.Context) error {
	if err := os.MkdirAll(b.Path("rpm", "repository", "repodata"), 0o755); err != nil {
		return err
	}
	if err := b.writeRepository(); err != nil {
		return err
	}
	if _, err := b.Command(ctx, `set -e
cd rpm
mkdir -m 700 gnupg
export GNUPGHOME=$PWD/gnupg
gpg --batch --quiet --passphrase '' --quick-generate-key bench@example.org ed25519 sign never
gpg --batch --armor --export >key.asc
gpg --batch --armor --detach-sign repository/repodata/repomd.xml
gpgconf --kill all`); err != nil {
		return err
	}
	var wanted []string
	for i := range 78 {
		wanted = append(wanted, fmt.Sprintf("package-%d", i*14))
	}
	recipe := fmt.Sprintf("product: bench\nsources:\n  - rpm:\n      repositories: [{url: ./repository, gpgkey: [key.asc]}]\n      packages: [%s]\n", strings.Join(wanted, ", "))
	if err := os.WriteFile(b.Path("rpm", "recipe.yaml"), []byte(recipe), 0o644); err != nil {
		return err
	}
	var samples []workbench.Sample
	for range rounds {
		s, err := b.Command(ctx, "rm -f rpm/proa.lock && proa lock -q rpm")
		if err != nil {
			return err
		}
		samples = append(samples, s)
	}
	var lock struct {
		Inputs []struct{ Packages []struct{ Name string } }
	}
	if err := workbench.ReadJSON(b.Path("rpm", "proa.lock"), &lock); err != nil {
		return err
	}
	if n := len(lock.Inputs[0].Packages); n < chosenLeast {
		return fmt.Errorf("the lock has %d packages: want %d", n, chosenLeast)
	}
	const most = 5 * time.Second
	took := workbench.Median(samples)
	b.note(fmt.Sprintf("proa lock, %d packages of %d", len(lock.Inputs[0].Packages), 2*repositoryNames), fmt.Sprintf("%.2f s", took.Seconds()), "at most 5 s", took > most)
	b.noteBytes("proa lock, peak memory", workbench.Peak(samples), 1<<30)
	return nil
}

// writeRepository writes the metadata; the packages are never looked for.
func (b *bench) writeRepository() error {
	path := b.Path("rpm", "repository", "repodata", "primary.xml.gz")
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	compressed, open := sha256.New(), sha256.New()
	size := counter(0)
	packed := gzip.NewWriter(io.MultiWriter(file, compressed))
	writePrimary(io.MultiWriter(packed, open, &size))
	if err := packed.Close(); err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	repomd := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo">
  <revision>1</revision>
  <data type="primary">
    <checksum type="sha256">%x</checksum>
    <open-checksum type="sha256">%x</open-checksum>
    <location href="repodata/primary.xml.gz"/>
    <timestamp>1</timestamp>
    <size>%d</size>
    <open-size>%d</open-size>
  </data>
</repomd>
`, compressed.Sum(nil), open.Sum(nil), info.Size(), size)
	return os.WriteFile(b.Path("rpm", "repository", "repodata", "repomd.xml"), []byte(repomd), 0o644)
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// writePrimary writes packages as distributions have them: versioned
// capabilities, alternatives, files, and requirements that mostly stay in the
// neighbourhood of 1,100 names. The newest of some is against another package.
func writePrimary(w io.Writer) {
	random := rand.New(rand.NewPCG(50, 1000))
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+`<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="%d">`+"\n", 2*repositoryNames)
	for i := range repositoryNames {
		near := func() int { return i/1100*1100 + random.IntN(1100) }
		for version := 1; version <= 2; version++ {
			fmt.Fprintf(w, `<package type="rpm"><name>package-%[1]d</name><arch>x86_64</arch><version epoch="0" ver="%[2]d.0" rel="1"/>
<checksum type="sha256" pkgid="YES">%064[3]x</checksum><summary>A package</summary><description>%[4]s</description>
<size package="12345" installed="123456" archive="123456"/><location href="Packages/package-%[1]d-%[2]d.0-1.x86_64.rpm"/>
<format><rpm:license>MIT</rpm:license><rpm:sourcerpm>package-1.src.rpm</rpm:sourcerpm>
`, i, version, 2*i+version, strings.Repeat("Words that say what the package is for. ", 10))
			fmt.Fprintf(w, `<rpm:provides><rpm:entry name="package-%[1]d" flags="EQ" epoch="0" ver="%[2]d.0" rel="1"/><rpm:entry name="lib%[1]d.so.%[2]d()(64bit)"/><rpm:entry name="virtual-%[3]d" flags="EQ" epoch="0" ver="%[2]d"/></rpm:provides>
<rpm:requires>`, i, version, i%(repositoryNames/4))
			for range 3 {
				fmt.Fprintf(w, `<rpm:entry name="lib%d.so.2()(64bit)"/>`, near())
			}
			fmt.Fprintf(w, `<rpm:entry name="/usr/bin/tool-%d"/><rpm:entry name="package-%d" flags="GE" epoch="0" ver="1"/><rpm:entry name="(package-%d or virtual-%d)"/></rpm:requires>
`, near(), near(), near(), random.IntN(repositoryNames/4))
			if i%100 == 50 && version == 2 {
				fmt.Fprintf(w, `<rpm:conflicts><rpm:entry name="package-%d" flags="LT" epoch="0" ver="2"/></rpm:conflicts>`+"\n", i-1-random.IntN(40))
			}
			fmt.Fprintf(w, "<file>/usr/bin/tool-%d</file></format></package>\n", i)
		}
	}
	io.WriteString(w, "</metadata>\n")
}
