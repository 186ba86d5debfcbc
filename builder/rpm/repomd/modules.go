package repomd

import (
	"bufio"
	"context"
	"io"
	"regexp"
	"strings"

	"github.com/proa-os/proa/builder/packages"
)

// artifact matches how modules.yaml names a package: name-epoch:version-release.arch.
var artifact = regexp.MustCompile(`^[^\s:]+-[0-9]+:[^\s:-]+-[^\s:-]+\.[a-z0-9_]+$`)

// readModules returns the packages that belong to any stream of any module. In
// modules.yaml (modulemd version 2,
// https://github.com/fedora-modularity/libmodulemd) these are the only words of
// that shape, so that the rest need not be understood.
func readModules(ctx context.Context, fetcher packages.Fetcher, r record) (map[string]bool, error) {
	found := map[string]bool{}
	err := read(ctx, fetcher, r, maxModules, func(in io.Reader) error {
		words := bufio.NewScanner(in)
		words.Buffer(nil, maxToken)
		words.Split(bufio.ScanWords)
		for words.Scan() {
			for _, word := range strings.Split(words.Text(), ",") {
				if word = strings.Trim(word, `'"[]{}`); artifact.MatchString(word) {
					found[word] = true
				}
			}
		}
		return words.Err()
	})
	return found, err
}

// inModule reports whether the current package belongs to a module: because
// modules.yaml has it, or by the mark that module builds have in their release.
func (p *primary) inModule() bool {
	now := &p.now
	epoch := now.epoch
	if epoch == "" {
		epoch = "0"
	}
	return p.streams[now.Name+"-"+epoch+":"+now.version+"-"+now.release+"."+now.Arch] ||
		strings.Contains(now.release, ".module+") || strings.Contains(now.release, ".module_")
}
