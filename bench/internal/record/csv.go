package record

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// SaveCSV writes rows to a file, and makes its folder if need be.
func SaveCSV[Row any](name string, m Machine, rows []Row) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(writeCSV(file, m, rows), file.Close())
}

// writeCSV writes one line a row: the machine's columns, then the row's fields, named as
// in JSON. Embedded and nested structs become columns of their own; a slice or a map
// does not fit into a cell and is left to the JSON.
func writeCSV[Row any](w io.Writer, m Machine, rows []Row) error {
	out := csv.NewWriter(w)
	var row Row
	head := append(columns("", reflect.TypeOf(m)), columns("", reflect.TypeOf(row))...)
	if err := out.Write(head); err != nil {
		return err
	}
	for _, row := range rows {
		line := append(cells(reflect.ValueOf(m)), cells(reflect.ValueOf(row))...)
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// columns names a struct's columns.
func columns(prefix string, t reflect.Type) []string {
	var names []string
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case !field.IsExported() || name == "-" || !fits(field.Type):
		case field.Type.Kind() == reflect.Struct && field.Anonymous:
			names = append(names, columns(prefix, field.Type)...)
		case field.Type.Kind() == reflect.Struct:
			names = append(names, columns(prefix+name+"_", field.Type)...)
		default:
			names = append(names, prefix+name)
		}
	}
	return names
}

// cells formats a struct's values, in the order of columns.
func cells(v reflect.Value) []string {
	var line []string
	for field, value := range v.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case !field.IsExported() || name == "-" || !fits(field.Type):
		case field.Type.Kind() == reflect.Struct:
			line = append(line, cells(value)...)
		case field.Type.Kind() == reflect.Float64:
			line = append(line, fmt.Sprintf("%.6g", value.Float()))
		default:
			line = append(line, fmt.Sprint(value.Interface()))
		}
	}
	return line
}

func fits(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer:
		return false
	}
	return true
}
