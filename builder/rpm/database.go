package rpm

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"

	_ "modernc.org/sqlite" // registers the driver

	"github.com/proa-os/proa/builder/packages"
	"github.com/proa-os/proa/builder/tree"
)

// Where the database is, and where rpm looks for it.
const (
	DatabaseFolder = "usr/lib/sysimage/rpm"
	databaseName   = "rpmdb.sqlite"
	databaseLink   = "var/lib/rpm"
	linkTarget     = "../../" + DatabaseFolder
)

const databaseSource = "rpm database"

// WriteDatabase puts into t the database in which rpm (4.16 and later) keeps
// what is installed: usr/lib/sysimage/rpm/rpmdb.sqlite, with var/lib/rpm a link
// to its folder (docs/decisions/009). The packages count as installed at epoch,
// in seconds since 1970. What an earlier source recorded stays as it is, but
// for what packages.Replaced says: call MakeRoom before the packages are laid,
// so that their files go, too. The bytes depend on what is recorded and the
// epoch alone, not on the order of the packages.
func WriteDatabase(t *tree.Tree, payloads []packages.Payload, epoch int64) error {
	if err := writeDatabase(t, payloads, epoch); err != nil {
		return fmt.Errorf("rpm database: %w", err)
	}
	return nil
}

func writeDatabase(t *tree.Tree, payloads []packages.Payload, epoch int64) error {
	if epoch < 0 || epoch > math.MaxUint32 {
		return fmt.Errorf("epoch %d: want 0 to %d", epoch, uint32(math.MaxUint32))
	}
	e, err := readEarlier(context.Background(), t, payloads)
	if err != nil {
		return err
	}
	var all []stored
	for i, r := range e.recorded {
		if !e.gone[i] {
			all = append(all, stored{r.Name, r.Version, r.Arch, r.header})
		}
	}
	for _, p := range payloads {
		h, err := installed(p, uint32(epoch))
		if err != nil {
			return fmt.Errorf("package %s %s: %w", p.Name, p.Version, err)
		}
		all = append(all, stored{p.Name, p.Version, p.Arch, h})
	}
	slices.SortFunc(all, stored.compare)
	data, err := database(all)
	if err != nil {
		return err
	}
	return placeDatabase(t, data)
}

// stored is a package as the database will have it.
type stored struct {
	name, version, arch string
	header              *header
}

func (s stored) compare(other stored) int {
	return cmp.Or(cmp.Compare(s.name, other.name), cmp.Compare(s.version, other.version), cmp.Compare(s.arch, other.arch),
		bytes.Compare(s.header.blob, other.header.blob))
}

// placeDatabase puts the file and the link into t, instead of a database of
// which it has all. A package can bring var/lib/rpm as an empty folder, which
// the link replaces.
func placeDatabase(t *tree.Tree, data []byte) error {
	for _, folder := range []string{DatabaseFolder, databaseLink} {
		for _, name := range []string{databaseName, databaseName + "-wal", databaseName + "-shm", databaseName + "-journal", ".rpm.lock"} {
			if err := t.Remove(path.Join(folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
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
	file := &tree.Node{
		Kind: tree.File, Mode: 0o644, Source: databaseSource,
		Content: tree.Content{At: bytes.NewReader(data), Size: int64(len(data))},
	}
	if err := t.Put(path.Join(DatabaseFolder, databaseName), file); err != nil {
		return err
	}
	return t.Put(databaseLink, &tree.Node{Kind: tree.Symlink, Mode: 0o777, Target: linkTarget, Source: databaseSource})
}

// database is the content of rpmdb.sqlite.
func database(all []stored) (data []byte, err error) {
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
	if err := fill(ctx, tx, all); err != nil {
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

func fill(ctx context.Context, tx *sql.Tx, all []stored) error {
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
	for i, p := range all {
		number := i + 1
		if _, err := into.ExecContext(ctx, number, p.header.blob); err != nil {
			return err
		}
		for j, index := range indexes {
			keys, err := index.keys(p.header)
			if err != nil {
				return fmt.Errorf("package %s %s: %w", p.name, p.version, err)
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
