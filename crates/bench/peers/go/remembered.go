package main

import (
	"database/sql"
	"log"
	"strings"

	pb "github.com/access-tokens/access-tokens/gen/accesstoken/v1"
)

// Read once at the start. What changes afterwards is never seen.
type remembered struct {
	users           map[string]*pb.User
	units           map[string]*pb.Unit
	businessUnits   map[string]*pb.BusinessUnit
	classifications map[string]*pb.Classification
	countries       map[string]*pb.Country
	industries      map[string]*pb.Industry
}

func remember(database *sql.DB) *remembered {
	return &remembered{all(database, users), all(database, units), all(database, businessUnits),
		all(database, classifications), all(database, countries), all(database, industries)}
}

func all[T any](database *sql.DB, k kind[T]) map[string]*T {
	text := "SELECT id, " + strings.Join(k.columns, ", ") + " FROM " + k.table + " WHERE organisation_key = $1"
	rows, err := database.Query(text, organisation)
	if err != nil {
		log.Fatal(err)
	}
	defer rows.Close()
	found := map[string]*T{}
	for rows.Next() {
		one, id := new(T), ""
		if err := rows.Scan(append([]any{&id}, k.fields(one)...)...); err != nil {
			log.Fatal(err)
		}
		found[id] = one
	}
	return found
}

func (r *remembered) user(id *string) *pb.User                 { return of(r.users, id) }
func (r *remembered) unit(id *string) *pb.Unit                 { return of(r.units, id) }
func (r *remembered) businessUnit(id *string) *pb.BusinessUnit { return of(r.businessUnits, id) }
func (r *remembered) classification(id *string) *pb.Classification {
	return of(r.classifications, id)
}
func (r *remembered) country(id *string) *pb.Country   { return of(r.countries, id) }
func (r *remembered) industry(id *string) *pb.Industry { return of(r.industries, id) }

func of[T any](known map[string]*T, id *string) *T {
	if id == nil {
		return nil
	}
	return known[*id]
}
