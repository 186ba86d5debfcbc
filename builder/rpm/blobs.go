package rpm

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/proa-os/proa/builder/tree"
)

const (
	maxDatabase = 1 << 30 // bytes of the file, and of all headers in it
	maxRecorded = 1 << 16 // packages
)

// readBlobs calls each for every header in a database of the tree. SQLite wants
// a file, so it reads a copy, with what is not yet part of the database.
//
// The database is as good as who made it. SQLite looks at each page that it
// reads; should that not be enough, the panic is an error here.
func readBlobs(ctx context.Context, t *tree.Tree, file string, each func(number int64, blob []byte) error) (err error) {
	folder, err := os.MkdirTemp("", "proa-rpmdb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	for _, ending := range []string{"", "-wal", "-journal"} {
		n, there := t.Resolve(file + ending)
		if !there || n.Kind != tree.File || ending != "" && n.Content.Size == 0 {
			continue
		}
		if err := copyOut(filepath.Join(folder, databaseName+ending), n.Content); err != nil {
			return err
		}
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the database is damaged: %v", v)
		}
	}()
	at := url.URL{Scheme: "file", Path: filepath.Join(folder, databaseName)}
	db, err := sql.Open("sqlite", at.String())
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := checkSchema(ctx, conn); err != nil {
		return err
	}
	return readRows(ctx, conn, each)
}

func copyOut(name string, content tree.Content) error {
	if content.Size > maxDatabase {
		return fmt.Errorf("%d bytes: want at most %d", content.Size, maxDatabase)
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if content.Size > 0 {
		_, err = io.Copy(file, content.Open())
	}
	return errors.Join(err, file.Close())
}

// checkSchema makes sure that reading the table runs nothing that the database
// brings: no view, no virtual table, no computed column.
func checkSchema(ctx context.Context, conn *sql.Conn) error {
	for _, pragma := range []string{"trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "locking_mode = EXCLUSIVE"} {
		if _, err := conn.ExecContext(ctx, "PRAGMA "+pragma); err != nil {
			return err
		}
	}
	var kind, text string
	err := conn.QueryRowContext(ctx, `SELECT type, sql FROM sqlite_schema WHERE name = 'Packages' LIMIT 1`).Scan(&kind, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return errors.New("it has no table Packages")
	}
	if err != nil {
		return err
	}
	if kind != "table" || !strings.HasPrefix(strings.ToUpper(text), "CREATE TABLE ") {
		return errors.New("Packages is no usual table")
	}
	var columns, usual int
	err = conn.QueryRowContext(ctx, `SELECT count(*), sum(hidden = 0 AND name IN ('hnum', 'blob')) FROM pragma_table_xinfo('Packages')`).Scan(&columns, &usual)
	if err == nil && (columns != 2 || usual != 2) {
		err = errors.New("Packages has other columns than hnum and blob")
	}
	return err
}

func readRows(ctx context.Context, conn *sql.Conn, each func(number int64, blob []byte) error) error {
	query := fmt.Sprintf(`SELECT rowid, CASE WHEN typeof(blob) = 'blob' AND length(blob) <= %d THEN blob END FROM Packages ORDER BY rowid LIMIT %d`,
		maxStore+16*maxTags, maxRecorded+1)
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	sum := 0
	for n := 1; rows.Next(); n++ {
		var number int64
		var blob []byte
		if err := rows.Scan(&number, &blob); err != nil {
			return err
		}
		// Rows can share their pages in a database that was made to.
		if sum += len(blob); n > maxRecorded || sum > maxDatabase {
			return fmt.Errorf("more than %d packages, or %d bytes of headers", maxRecorded, maxDatabase)
		}
		if err := each(number, blob); err != nil {
			return err
		}
	}
	return rows.Err()
}
