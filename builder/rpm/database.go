package rpm

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"

	_ "modernc.org/sqlite" // registers the driver

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
)

// Where the database is, and where rpm looks for it.
const (
	DatabaseFolder = "usr/lib/sysimage/rpm"
	databaseFile   = DatabaseFolder + "/rpmdb.sqlite"
	databaseLink   = "var/lib/rpm"
	linkTarget     = "../../" + DatabaseFolder
)

const databaseSource = "rpm database"

// WriteDatabase puts into t the database in which rpm (4.16 and later) keeps
// what is installed: usr/lib/sysimage/rpm/rpmdb.sqlite, with var/lib/rpm a link
// to its folder (docs/decisions/009). All packages count as installed at epoch,
// in seconds since 1970. The bytes depend on the packages and the epoch alone,
// not on the packages' order. A database that t has already is an error: call
// it once, with the packages of all sources.
func WriteDatabase(t *tree.Tree, payloads []packages.Payload, epoch int64) error {
	if epoch < 0 || epoch > math.MaxUint32 {
		return fmt.Errorf("rpm database: epoch %d: want 0 to %d", epoch, uint32(math.MaxUint32))
	}
	data, err := database(payloads, uint32(epoch))
	if err != nil {
		return fmt.Errorf("rpm database: %w", err)
	}
	if err := placeDatabase(t, data); err != nil {
		return fmt.Errorf("rpm database: %w", err)
	}
	return nil
}

// placeDatabase puts the file and the link into t. A package can bring
// var/lib/rpm as an empty folder, which the link replaces.
func placeDatabase(t *tree.Tree, data []byte) error {
	file := &tree.Node{
		Kind: tree.File, Mode: 0o644, Source: databaseSource,
		Content: tree.Content{At: bytes.NewReader(data), Size: int64(len(data))},
	}
	for _, path := range []string{databaseFile, databaseLink + "/rpmdb.sqlite"} {
		if n, ok := t.Resolve(path); ok {
			return fmt.Errorf("%s is there already, from %q: packages cannot be added to it", path, n.Source)
		}
	}
	if n, ok := t.Lookup(databaseLink); ok && n.Kind == tree.Directory {
		names, err := t.Children(databaseLink)
		if err != nil {
			return err
		}
		if len(names) > 0 {
			return fmt.Errorf("%s has files, such as %.100q: want none, as it becomes a link to %s", databaseLink, names[0], DatabaseFolder)
		}
		if err := t.Remove(databaseLink); err != nil {
			return err
		}
	}
	if err := t.Put(databaseFile, file); err != nil {
		return err
	}
	return t.Put(databaseLink, &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: linkTarget, Source: databaseSource})
}

// database is the content of rpmdb.sqlite.
func database(payloads []packages.Payload, epoch uint32) (data []byte, err error) {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx) // the database lives and dies with its connection
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	if err := fill(ctx, tx, payloads, epoch); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	err = conn.Raw(func(driver any) error {
		data, err = driver.(interface{ Serialize() ([]byte, error) }).Serialize()
		return err
	})
	return data, err
}

func fill(ctx context.Context, tx *sql.Tx, payloads []packages.Payload, epoch uint32) error {
	for _, statement := range schema() {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	into, err := tx.PrepareContext(ctx, `INSERT INTO Packages VALUES (?, ?)`)
	if err != nil {
		return err
	}
	writers := make([]*sql.Stmt, len(indexes))
	for i, index := range indexes {
		if writers[i], err = tx.PrepareContext(ctx, fmt.Sprintf(`INSERT INTO '%s' VALUES (?, ?, ?)`, index.name)); err != nil {
			return err
		}
	}
	for i, p := range sorted(payloads) {
		h, err := installed(p, epoch)
		if err != nil {
			return fmt.Errorf("package %s %s: %w", p.Name, p.Version, err)
		}
		number := i + 1
		if _, err := into.ExecContext(ctx, number, h.blob); err != nil {
			return err
		}
		for j, index := range indexes {
			keys, err := index.keys(h)
			if err != nil {
				return fmt.Errorf("package %s %s: %w", p.Name, p.Version, err)
			}
			for _, k := range keys {
				if _, err := writers[j].ExecContext(ctx, k.key, number, k.at); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// sorted are the packages by name, version and architecture.
func sorted(payloads []packages.Payload) []packages.Payload {
	return slices.SortedStableFunc(slices.Values(payloads), func(a, b packages.Payload) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Arch, b.Arch))
	})
}
