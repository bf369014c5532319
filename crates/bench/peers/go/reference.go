package main

import (
	"database/sql"
	"log"

	pb "github.com/access-tokens/access-tokens/gen/accesstoken/v1"
)

// What tokens refer to, read once.
type reference struct {
	users           map[string]*pb.User
	units           map[string]*pb.Unit
	businessUnits   map[string]*pb.BusinessUnit
	classifications map[string]*pb.Classification
	countries       map[string]*pb.Country
	industries      map[string]*pb.Industry
}

func rows(database *sql.DB, text string, each func(*sql.Rows) error) {
	found, err := database.Query(text, organisation)
	if err != nil {
		log.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		if err := each(found); err != nil {
			log.Fatal(err)
		}
	}
}

func read(database *sql.DB) *reference {
	r := &reference{map[string]*pb.User{}, map[string]*pb.Unit{}, map[string]*pb.BusinessUnit{},
		map[string]*pb.Classification{}, map[string]*pb.Country{}, map[string]*pb.Industry{}}
	rows(database, "SELECT id, username, person_name, email FROM app_user WHERE organisation_key = $1",
		func(row *sql.Rows) error {
			var u pb.User
			err := row.Scan(&u.Id, &u.Username, &u.PersonName, &u.Email)
			r.users[u.Id] = &u
			return err
		})
	rows(database, "SELECT id, name, group_name, community_name, alternative_code, description FROM unit "+
		"WHERE organisation_key = $1", func(row *sql.Rows) error {
		var u pb.Unit
		err := row.Scan(&u.Id, &u.Name, &u.GroupName, &u.CommunityName, &u.AlternativeCode, &u.Description)
		r.units[u.Id] = &u
		return err
	})
	rows(database, "SELECT id, name, code, unified_code, description, parent_business_unit_name FROM business_unit "+
		"WHERE organisation_key = $1", func(row *sql.Rows) error {
		var b pb.BusinessUnit
		err := row.Scan(&b.Id, &b.Name, &b.Code, &b.UnifiedCode, &b.Description, &b.ParentBusinessUnitName)
		r.businessUnits[b.Id] = &b
		return err
	})
	rows(database, "SELECT id, name, alternative_code FROM classification WHERE organisation_key = $1",
		func(row *sql.Rows) error {
			var c pb.Classification
			err := row.Scan(&c.Id, &c.Name, &c.AlternativeCode)
			r.classifications[c.Id] = &c
			return err
		})
	rows(database, "SELECT id, name, alternative_code, dialing_code, two_character_code, three_character_code "+
		"FROM country WHERE organisation_key = $1", func(row *sql.Rows) error {
		var c pb.Country
		err := row.Scan(&c.Id, &c.Name, &c.AlternativeCode, &c.DialingCode, &c.TwoCharacterCode, &c.ThreeCharacterCode)
		r.countries[c.Id] = &c
		return err
	})
	rows(database, "SELECT id, name, code FROM industry WHERE organisation_key = $1", func(row *sql.Rows) error {
		var i pb.Industry
		err := row.Scan(&i.Id, &i.Name, &i.Code)
		r.industries[i.Id] = &i
		return err
	})
	return r
}

func (r *reference) user(id *string) *pb.User {
	if id == nil {
		return nil
	}
	return r.users[*id]
}

func (r *reference) unit(id *string) *pb.Unit {
	if id == nil {
		return nil
	}
	return r.units[*id]
}

func (r *reference) businessUnit(id *string) *pb.BusinessUnit {
	if id == nil {
		return nil
	}
	return r.businessUnits[*id]
}

func (r *reference) classification(id *string) *pb.Classification {
	if id == nil {
		return nil
	}
	return r.classifications[*id]
}

func (r *reference) country(id *string) *pb.Country {
	if id == nil {
		return nil
	}
	return r.countries[*id]
}

func (r *reference) industry(id *string) *pb.Industry {
	if id == nil {
		return nil
	}
	return r.industries[*id]
}
