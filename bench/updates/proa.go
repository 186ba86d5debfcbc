package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/proa-os/proa/bench/workbench"
	"github.com/proa-os/proa/manifests"
)

var (
	proaDelta = method{name: "proa, delta", note: "made by `proa repo publish --deltas 1` of what is published, signing included"}
	proaIndex = method{name: "proa, index", any: true, note: "made by `proa repo publish`, with all of the image encoded and signed"}
)

// proa publishes the new release, and a delta after that, and updates a host
// from what is there each time.
func (t *trial) proa(ctx context.Context) ([]figure, error) {
	published, err := t.workshop.published(ctx, t.base)
	if err != nil {
		return nil, err
	}
	if _, err := t.bench.Command(ctx, "cp -r "+published+"/repository repository"); err != nil {
		return nil, err
	}
	var figures []figure
	for deltas, m := range []method{proaIndex, proaDelta} {
		made, err := t.bench.Command(ctx, fmt.Sprintf("proa repo publish -q --keys %s/keys --channel stable --deltas %d new --repo repository", published, deltas))
		if err != nil {
			return nil, err
		}
		f, err := t.update(ctx, m)
		if err != nil {
			return nil, err
		}
		f.Making = made
		figures = append(figures, f)
	}
	return figures, nil
}

// update updates a host from the repository some times, each from its beginning.
func (t *trial) update(ctx context.Context, m method) (figure, error) {
	served, err := serve(t.bench.Path("repository"))
	if err != nil {
		return figure{}, err
	}
	defer served.Close()
	transport, err := t.transport()
	if err != nil {
		return figure{}, err
	}
	host := workbench.Host{Release: "old", Repository: "repository", URL: served.URL()}
	if err := host.Make(ctx, &t.bench); err != nil {
		return figure{}, err
	}
	f := figure{Method: m}
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
		f.Kernel, f.Bytes, f.Metadata = served.Of(transport)
		if err := t.compareSlot(ctx); err != nil {
			return figure{}, err
		}
	}
	f.Applying = workbench.Middle(updates)
	t.copies = append(t.copies, copies...)
	t.index, t.plan = transport.Index.Size, max(t.plan, workbench.Median(plans))
	return f, nil
}

// transport reads how the new release travels.
func (t *trial) transport() (manifests.Transport, error) {
	pattern := t.bench.Path("repository", "targets", "releases", "bench", "amd64", newVersion, "*transport.json")
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return manifests.Transport{}, err
	}
	// That of before the delta may still be there, without it.
	var newest manifests.Transport
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return manifests.Transport{}, err
		}
		t, err := manifests.ParseTransport(data)
		if err != nil {
			return manifests.Transport{}, fmt.Errorf("%s: %w", path, err)
		}
		if newest.Schema == 0 || len(t.Deltas) > len(newest.Deltas) {
			newest = t
		}
	}
	if newest.Schema == 0 {
		return manifests.Transport{}, fmt.Errorf("%s: no such file", pattern)
	}
	return newest, nil
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
