package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/proa-os/proa/bench/workbench"
	"github.com/proa-os/proa/manifests"
)

var (
	proaDelta = method{name: "proa, delta", note: "`proa repo publish --deltas 1` less what it takes without deltas; `proa-agent update` over HTTP on the loopback, metadata and kernel image included"}
	proaIndex = method{name: "proa, index", any: true}
)

// proa publishes the new release twice, with a delta and without, and updates a
// host from either.
func (t *trial) proa(ctx context.Context) ([]figure, error) {
	if _, err := t.bench.Command(ctx, "proa key new -o keys"); err != nil {
		return nil, err
	}
	const publish = "proa repo publish -q --keys keys --channel stable "
	var making [2]time.Duration
	for deltas, repository := range repositories {
		if _, err := t.bench.Command(ctx, "proa repo init "+repository+" --keys keys && "+publish+"--deltas 0 old --repo "+repository); err != nil {
			return nil, err
		}
		made, err := t.bench.Command(ctx, fmt.Sprintf("%s--deltas %d new --repo %s", publish, deltas, repository))
		if err != nil {
			return nil, err
		}
		making[deltas] = made.Took
	}
	var figures []figure
	for deltas, m := range []method{proaIndex, proaDelta} {
		f, err := t.update(ctx, m, repositories[deltas])
		if err != nil {
			return nil, err
		}
		f.making = making[deltas]
		figures = append(figures, f)
	}
	figures[1].making -= making[0]
	_, err := t.bench.Command(ctx, "rm -rf host keys "+repositories[0]+" "+repositories[1])
	return figures, err
}

// repositories are that without deltas, and that with one.
var repositories = [2]string{"repository.index", "repository.delta"}

// update updates a host from a repository some times, each from its beginning.
func (t *trial) update(ctx context.Context, m method, repository string) (figure, error) {
	served, err := serve(t.bench.Path(repository))
	if err != nil {
		return figure{}, err
	}
	defer served.Close()
	transport, err := t.transport(repository)
	if err != nil {
		return figure{}, err
	}
	host := workbench.Host{Release: "old", Repository: repository, URL: served.URL()}
	if err := host.Make(ctx, &t.bench); err != nil {
		return figure{}, err
	}
	f := figure{method: m}
	var updates, plans, copies []workbench.Sample
	for range rounds {
		for _, one := range []struct {
			command string
			into    *[]workbench.Sample
		}{
			// 10: there is an update.
			{"proa-agent --host host/host.yaml plan --json -q || [ $? = 10 ]", &plans},
			// What any method has to do at least: write the image into the slot.
			{slotOffset + `dd if=new/root.erofs of=host/disk.raw bs=1M oflag=seek_bytes seek="$offset" conv=notrunc,fsync`, &copies},
			{"proa-agent --host host/host.yaml update -q", &updates},
		} {
			if err := host.Reset(ctx, &t.bench); err != nil {
				return figure{}, err
			}
			served.Forget()
			s, err := t.bench.Command(ctx, one.command)
			if err != nil {
				return figure{}, err
			}
			*one.into = append(*one.into, s)
		}
		f.kernel, f.bytes, f.metadata = served.Of(transport)
		if err := t.compareSlot(ctx); err != nil {
			return figure{}, err
		}
	}
	f.applying, f.peak = workbench.Median(updates), workbench.Peak(updates)
	t.copies = append(t.copies, copies...)
	t.index, t.plan = transport.Index.Size, max(t.plan, workbench.Median(plans))
	return f, nil
}

// transport reads how the new release travels.
func (t *trial) transport(repository string) (manifests.Transport, error) {
	pattern := t.bench.Path(repository, "targets", "releases", "bench", "amd64", "1.1.0", "*transport.json")
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return manifests.Transport{}, err
	}
	if len(paths) != 1 {
		return manifests.Transport{}, fmt.Errorf("%s: %d files: want one", pattern, len(paths))
	}
	data, err := os.ReadFile(paths[0])
	if err != nil {
		return manifests.Transport{}, err
	}
	return manifests.ParseTransport(data)
}

// slotOffset finds where the other slot is on the host's disk.
const slotOffset = `set -e
number=$(sgdisk -p host/disk.raw | awk '$NF ~ /root-b$/ {print $1}')
offset=$(sgdisk -i "$number" host/disk.raw | awk '/First sector/ {print $3 * 512}')
`

// compareSlot finds that the other slot holds the new image: not all that an
// agent says is true.
func (t *trial) compareSlot(ctx context.Context) error {
	_, err := t.bench.Command(ctx, slotOffset+`cmp -i "$offset:0" -n "$(stat -L -c %s new/root.erofs)" host/disk.raw new/root.erofs`)
	return err
}
