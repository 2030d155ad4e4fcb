mod agreement;
mod history;
mod lists;
mod records;
